"""Writes a frame as one line of a recording, and reads it back.

A recording is JSON Lines. Its first line names the version. Fields are added, never changed, so an
unknown field is ignored.
"""

import base64
import binascii
import json
from typing import Any, Final

from connector.core.ticks.frame import Received

VERSION: Final = 1
FIRST_LINE: Final = b'{"kis_bond_recording": %d}\n' % VERSION
MOST_FRAME_BYTES: Final = 2**20  # a longer message never passed the WebSocket
MOST_LINE_BYTES: Final = 8 * MOST_FRAME_BYTES  # JSON may write a byte as six characters
_EARLIEST_NS: Final = 946_684_800 * 10**9  # 2000-01-01
_LAST_SLOT: Final = (1 << 16) - 1


class BadLine(ValueError):
    """A line is not part of a recording; the text says why, in ASCII."""


def to_line(frame: Received) -> bytes:
    """Return a frame as a line."""
    fields: dict[str, Any] = {"received_ns": frame.received_ns, "slot": frame.slot}
    if frame.binary:
        fields |= {"base64": base64.b64encode(frame.raw).decode(), "binary": True}
    else:
        try:
            fields["text"] = frame.raw.decode()
        except UnicodeDecodeError:
            fields["base64"] = base64.b64encode(frame.raw).decode()
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def check_first_line(line: bytes) -> None:
    """Raise BadLine unless this is the first line of a recording that this version reads."""
    version = _object(line).get("kis_bond_recording")
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadLine('does not begin with {"kis_bond_recording": 1}, so it is no recording of kis-bond')
    if version != VERSION:
        raise BadLine(f"has version {version}, and this program reads version {VERSION}")


def from_line(line: bytes) -> Received:
    """Return the frame of a line. Raises BadLine."""
    fields = _object(line)
    received_ns = _whole(fields.get("received_ns"), _EARLIEST_NS, (1 << 63) - 1)
    if received_ns is None:
        raise BadLine("received_ns is not a time in nanoseconds since 1970, from the year 2000 on")
    slot = _whole(fields.get("slot"), 0, _LAST_SLOT)
    if slot is None:
        raise BadLine(f"slot is not a number from 0 to {_LAST_SLOT}")
    raw = _raw(fields)
    if len(raw) > MOST_FRAME_BYTES:
        raise BadLine(f"the frame has more than {MOST_FRAME_BYTES} bytes")
    return Received(received_ns, slot, 0, fields.get("binary") is True, raw)


def _raw(fields: dict[str, Any]) -> bytes:
    match fields.get("text"), fields.get("base64"):
        case str(text), None:
            try:
                return text.encode()
            except UnicodeEncodeError:
                raise BadLine("text holds half of a surrogate pair") from None
        case None, str(encoded):
            try:
                return base64.b64decode(encoded, validate=True)
            except (binascii.Error, ValueError):
                raise BadLine("base64 is not Base64") from None
    raise BadLine("has not exactly one of text and base64")


def _object(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise BadLine("has no end, so the file was cut off; copy or record it again")
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine("is not JSON in UTF-8") from None
    if not isinstance(content, dict):
        raise BadLine("is not a JSON object")
    return content


def _whole(value: Any, least: int, most: int) -> int | None:
    """Return the value if it is a whole number within these bounds, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None
