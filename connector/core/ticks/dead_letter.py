"""Makes dead letters of frames and records that could not become ticks."""

import re
from typing import Literal, NamedTuple

from connector.core.ticks.avro import BadTick
from connector.core.ticks.columns import FieldReason
from connector.core.ticks.frame import BadFrame, FrameReason, Received, WireRecord

# The reasons in the order of the checks. KAFKA_REFUSED means that Kafka refused a good record, BUG
# that decoding the frame raised an exception.
DeadLetterReason = Literal[FrameReason, FieldReason, "KAFKA_REFUSED", "BUG"]
Headers = list[tuple[str, bytes]]

# What is kept of a dead letter that Kafka refuses. A bad tick, of some 200 bytes, is never cut.
SHORTENED_BYTES = (16 * 1024, 1024)
HIDDEN = b"********"
# Finds the secrets in a reply that we did not recognise. Such a reply may be a binary message, be
# inside an array, follow a BOM, be cut short, or be quoted in other JSON. We look for the names of
# the secrets, because encrypted ticks look like keys.
_KEY_MATERIAL = re.compile(
    rb"""("(?:key|iv|appkey|appsecret|secretkey|approval_key|access_token)\\{0,9}"\s*:\s*\\{0,9}")(?:[^"\\]|\\.)*""",
    re.IGNORECASE | re.DOTALL,
)


class DeadLetter(NamedTuple):
    """One record of the dead-letter topic; `key` is None for a frame or an unreadable ISIN."""

    reason: DeadLetterReason
    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: Headers


def of_frame(frame: Received, bad: BadFrame) -> DeadLetter:
    """Return the dead letter of a whole frame: the bytes as received, with key material hidden."""
    return _whole(frame, bad.reason, bad.detail)


def of_bug(frame: Received, error: Exception) -> DeadLetter:
    """Return the dead letter of a frame for which decoding raised; it never quotes the error."""
    return _whole(frame, "BUG", f"decoding raised {type(error).__name__}; the connector's log says where")


def _whole(frame: Received, reason: DeadLetterReason, detail: str) -> DeadLetter:
    value, hidden = _KEY_MATERIAL.subn(rb"\1" + HIDDEN, frame.raw)
    detail = f"{detail}; key material was hidden" if hidden else detail
    return DeadLetter(reason, None, value, frame.received_ns // 1_000_000, _headers(frame, reason, detail))


def of_record(frame: Received, record: WireRecord, bad: BadTick) -> DeadLetter:
    """Return the dead letter of one record: its raw text, decrypted if the frame was encrypted."""
    headers = [*_headers(frame, bad.reason, bad.detail), ("field", bad.field.encode())]
    key = bad.isin.encode() if bad.isin else None
    return DeadLetter(bad.reason, key, record.raw, frame.received_ns // 1_000_000, headers)


def of_refused(frame: Received, record: WireRecord, key: bytes, refused_as: str) -> DeadLetter:
    """Return the dead letter of a good record that Kafka refused even alone in its batch."""
    headers = _headers(frame, "KAFKA_REFUSED", f"Kafka refused the tick alone in its batch: {refused_as}")
    return DeadLetter("KAFKA_REFUSED", key, record.raw, frame.received_ns // 1_000_000, headers)


def forms(letter: DeadLetter, seq: int) -> list[DeadLetter]:
    """Return the forms in which a refused dead letter of frame `seq` is sent, one after another.

    A letter without a key gets one, because a compacted topic takes no record without. Then its
    value is shortened.
    """
    keyed = letter if letter.key else letter._replace(key=_key(letter))
    shorter = [_shortened(keyed, seq, bound) for bound in SHORTENED_BYTES if bound < len(letter.value)]
    return shorter if letter.key else [keyed, *shorter]


def _key(letter: DeadLetter) -> bytes:
    """Return a key that no other letter has, so that compaction removes none."""
    headers = dict(letter.headers)
    return b"slot/%b/%b" % (headers["slot"], headers["received-ns"])


def _shortened(letter: DeadLetter, seq: int, bound: int) -> DeadLetter:
    detail = b"first %d of %d bytes, the journal keeps frame %d whole" % (bound, len(letter.value), seq)
    headers = [(name, detail if name == "detail" else value) for name, value in letter.headers]
    return letter._replace(value=letter.value[:bound], headers=headers)


def _headers(frame: Received, reason: DeadLetterReason, detail: str) -> Headers:
    return [
        ("reason", reason.encode()),
        ("detail", detail.encode("ascii", "backslashreplace")),
        ("received-ns", b"%d" % frame.received_ns),
        ("slot", b"%d" % frame.slot),
    ]
