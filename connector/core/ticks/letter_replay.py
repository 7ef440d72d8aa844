"""Turns a dead letter back into a frame, and says what of a frame is still bad."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from connector.core.ticks.avro import BadTick, TickEncoder
from connector.core.ticks.dead_letter import ONE_RECORD, DeadLetterReason
from connector.core.ticks.frame import PLAIN_SINGLE, BadFrame, Received, split

LONGEST_NUMBER: Final = 19  # digits of a receive time or a slot in a header
_NOT_WHOLE: Final = re.compile(r"^first [0-9]+ of [0-9]+ bytes|; secrets were hidden|; only the first [0-9]+ char")


class Unusable(ValueError):
    """A record of the dead-letter topic cannot be sent again; the text says why."""


class Trial(NamedTuple):
    """How many ticks decoding makes of a frame, and what it still refuses, by reason."""

    good: int
    bad: Counter[DeadLetterReason]


def frame_of(value: bytes, headers: Iterable[tuple[str, bytes]]) -> Received:
    """Return a frame with what a dead letter holds, received when the first frame was received.

    A letter of one record becomes a frame of one record, which gives the same tick. Raises
    Unusable if the letter is not whole or is none of ours.
    """
    texts = {name: content.decode("ascii", "replace") for name, content in headers}
    reason = texts.get("reason", "")
    if _NOT_WHOLE.search(texts.get("detail", "")):
        raise Unusable("it holds only a part of the frame")
    received_ns, slot = (_number(texts.get(name, "")) for name in ("received-ns", "slot"))
    raw = PLAIN_SINGLE + value if reason.startswith(ONE_RECORD) else value
    return Received(received_ns, slot, 0, reason == "FRAME_KIND", raw)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
        raise Unusable("its headers are not those of a dead letter")
    return int(text)


def attempt(frame: Received, encoder: TickEncoder) -> Trial:
    """Decode a frame that is not encrypted, and return what becomes of it. Never raises."""
    try:
        records = split(frame, ())
        if isinstance(records, BadFrame):
            return Trial(0, Counter([records.reason]))
        origin = encoder.origin(frame.received_ns // 1_000_000)
        ticks = [encoder.encode(record, origin) for record in records]
    except Exception:  # noqa: BLE001 - a frame that trips a bug stays a dead letter
        return Trial(0, Counter(["BUG"]))
    bad = Counter[DeadLetterReason](tick.reason for tick in ticks if isinstance(tick, BadTick))
    return Trial(len(ticks) - bad.total(), bad)
