"""Makes dead letters of frames and records that could not become ticks."""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from connector.core.ticks.avro import BadTick
from connector.core.ticks.columns import FieldReason
from connector.core.ticks.frame import BadFrame, FrameReason, Received, WireRecord, split

# The reasons in the order of the checks. KAFKA_REFUSED means that Kafka refused a good record, BUG
# that decoding the frame raised an exception.
DeadLetterReason = Literal[FrameReason, FieldReason, "KAFKA_REFUSED", "BUG"]
Headers = list[tuple[str, bytes]]

# What is kept of a dead letter that Kafka refuses. A bad tick, of some 200 bytes, is never cut.
SHORTENED_BYTES = (16 * 1024, 1024)
LONGEST_TEXT = 64 * 1024  # what is kept of a message that is no data frame, as of a JSON message
HIDDEN = b"********"
# KIS's data, of whatever TR. KIS may say anything in a message that does not begin so.
_DATA = re.compile(rb"[01]\|H0[A-Z0-9]{6}\|[0-9]{1,4}\|")
ONE_RECORD = ("FIELD_", "KAFKA_")  # how the reasons begin for which only one record is buried
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
    """Return the dead letter of a whole frame: the bytes as received."""
    headers = _headers(frame, bad.reason, bad.detail)
    return DeadLetter(bad.reason, None, frame.raw, frame.received_ns // 1_000_000, headers)


def of_bug(frame: Received, error: Exception) -> DeadLetter:
    """Return the dead letter of a frame for which decoding raised; it never quotes the error."""
    detail = f"decoding raised {type(error).__name__}; the connector's log says where"
    headers = _headers(frame, "BUG", detail)
    return DeadLetter("BUG", None, frame.raw, frame.received_ns // 1_000_000, headers)


def of_record(frame: Received, record: WireRecord, bad: BadTick) -> DeadLetter:
    """Return the dead letter of one record: its raw text, decrypted if the frame was encrypted."""
    headers = [*_headers(frame, bad.reason, bad.detail), ("field", bad.field.encode())]
    key = bad.isin.encode() if bad.isin else None
    return DeadLetter(bad.reason, key, record.raw, frame.received_ns // 1_000_000, headers)


def of_refused(frame: Received, record: WireRecord, key: bytes, refused_as: str) -> DeadLetter:
    """Return the dead letter of a good record that Kafka refused even alone in its batch."""
    headers = _headers(frame, "KAFKA_REFUSED", f"Kafka refused the tick alone in its batch: {refused_as}")
    return DeadLetter("KAFKA_REFUSED", key, record.raw, frame.received_ns // 1_000_000, headers)


def without_secrets(
    letter: DeadLetter, clean: Callable[[str, int], str], clean_data: Callable[[str], str]
) -> DeadLetter:
    """Return the dead letter with secrets hidden in its value and its detail.

    `clean` hides what is or looks like a secret, and cuts the text at a limit. `clean_data` hides
    known secrets only, because numbers and encrypted payloads look like secrets: a data frame stays
    as it was received.
    """
    is_text = not (letter.reason.startswith(ONE_RECORD) or _DATA.match(letter.value))
    text = _KEY_MATERIAL.sub(rb"\1" + HIDDEN, letter.value).decode("utf-8", "surrogateescape")
    value = (clean(text, LONGEST_TEXT) if is_text else clean_data(text)).encode("utf-8", "surrogateescape")
    if value == letter.value:
        return letter
    detail = dict(letter.headers)["detail"].decode()
    if letter.reason.startswith("FRAME_"):
        # The detail may quote the beginning of a secret, so we take that of the cleaned text.
        again = split(Received(0, 0, 0, letter.reason == "FRAME_KIND", value), ())
        detail = again.detail if isinstance(again, BadFrame) and again.reason == letter.reason else letter.reason
    if HIDDEN in value:
        detail = f"{clean_data(detail)}; secrets were hidden"
    if is_text and len(text) > LONGEST_TEXT:
        detail += f"; only the first {LONGEST_TEXT} characters are kept"
    return _with_detail(letter._replace(value=value), detail.encode("ascii", "backslashreplace"))


def forms(letter: DeadLetter, seq: int, index: int) -> list[DeadLetter]:
    """Return the forms in which a refused dead letter is sent, one after another.

    It is about frame `seq`, or about the record at place `index`, from 0, in this frame.

    A letter without a key gets one, because a compacted topic takes no record without. Then its
    value is shortened.
    """
    keyed = letter if letter.key else letter._replace(key=_key(letter, index))
    shorter = [_shortened(keyed, seq, bound) for bound in SHORTENED_BYTES if bound < len(letter.value)]
    return shorter if letter.key else [keyed, *shorter]


def _key(letter: DeadLetter, index: int) -> bytes:
    """Return a key that no other letter has, so that compaction removes none."""
    headers = dict(letter.headers)
    return b"slot/%b/%b/%d" % (headers["slot"], headers["received-ns"], index)


def _shortened(letter: DeadLetter, seq: int, bound: int) -> DeadLetter:
    detail = b"first %d of %d bytes, the journal keeps frame %d whole" % (bound, len(letter.value), seq)
    return _with_detail(letter._replace(value=letter.value[:bound]), detail)


def _with_detail(letter: DeadLetter, detail: bytes) -> DeadLetter:
    return letter._replace(headers=[(name, detail if name == "detail" else value) for name, value in letter.headers])


def _headers(frame: Received, reason: DeadLetterReason, detail: str) -> Headers:
    return [
        ("reason", reason.encode()),
        ("detail", detail.encode("ascii", "backslashreplace")),
        ("received-ns", b"%d" % frame.received_ns),
        ("slot", b"%d" % frame.slot),
    ]
