"""Says how a frame or record that could not become a tick is published."""

import re
from typing import NamedTuple

from connector.core.ticks.avro import BadTick
from connector.core.ticks.frame import BadFrame, Received, WireRecord

Headers = list[tuple[str, bytes]]

SHORTENED_BYTES = 16 * 1024  # of a dead letter that Kafka refused as it was
HIDDEN = b"********"
# What opens encrypted frames or a session, in the JSON of a reply that came as none: in a binary message, in an array, behind a BOM,
# cut short, or quoted in other JSON. By name and not by shape: encrypted ticks look like keys.
_KEY_MATERIAL = re.compile(
    rb"""("(?:key|iv|appkey|appsecret|secretkey|approval_key|access_token)\\{0,9}"\s*:\s*\\{0,9}")(?:[^"\\]|\\.)*""",
    re.IGNORECASE | re.DOTALL,
)


class DeadLetter(NamedTuple):
    """One record of the dead-letter topic; key None for a bad frame, and for a record without a readable ISIN."""

    reason: str
    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: Headers


def of_frame(frame: Received, bad: BadFrame) -> DeadLetter:
    """Return the dead letter of a whole frame: its bytes as received, but for key material, which stays in the journal."""
    value, hidden = _KEY_MATERIAL.subn(rb"\1" + HIDDEN, frame.raw)
    detail = f"{bad.detail}; key material was hidden" if hidden else bad.detail
    return DeadLetter(bad.reason, None, value, frame.received_ns // 1_000_000, _headers(frame, bad.reason, detail))


def of_record(frame: Received, record: WireRecord, bad: BadTick) -> DeadLetter:
    """Return the dead letter of one record: its raw text, decrypted where the frame was encrypted."""
    headers = [*_headers(frame, bad.reason, bad.detail), ("field", bad.field.encode())]
    key = bad.isin.encode() if bad.isin else None
    return DeadLetter(bad.reason, key, record.text.encode(), frame.received_ns // 1_000_000, headers)


def of_refused(frame: Received, record: WireRecord, key: bytes, refused_as: str) -> DeadLetter:
    """Return the dead letter of a good record that Kafka refused alone in its batch: too large, or against a check of the broker's."""
    headers = _headers(frame, "KAFKA_REFUSED", f"Kafka refused the tick alone in its batch: {refused_as}")
    return DeadLetter("KAFKA_REFUSED", key, record.text.encode(), frame.received_ns // 1_000_000, headers)


def shortened(letter: DeadLetter, seq: int) -> DeadLetter:
    """Return a dead letter that Kafka refused as it was with the beginning of its value; the journal keeps frame `seq` whole."""
    detail = b"first %d of %d bytes, the journal keeps frame %d whole" % (
        min(SHORTENED_BYTES, len(letter.value)),
        len(letter.value),
        seq,
    )
    headers = [(name, detail if name == "detail" else value) for name, value in letter.headers]
    return letter._replace(value=letter.value[:SHORTENED_BYTES], headers=headers)


def _headers(frame: Received, reason: str, detail: str) -> Headers:
    return [
        ("reason", reason.encode()),
        ("detail", detail.encode("ascii", "backslashreplace")),
        ("received-ns", b"%d" % frame.received_ns),
        ("slot", b"%d" % frame.slot),
    ]
