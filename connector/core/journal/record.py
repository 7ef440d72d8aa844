"""The bytes of a segment: a header, then records, each with a checksum and its own number."""

import json
from collections.abc import Iterable
from struct import Struct
from typing import Annotated, Final, Literal, NamedTuple, get_args
from zlib import crc32

from pydantic import Field, TypeAdapter

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received

MAGIC: Final = b"KISBONDJ"
FORMAT: Final = 1
MOST_BYTES: Final = 16 * 2**20  # of one record; a larger length can only be damage
_MARKER: Final = b"\xffREC"  # no UTF-8 text contains 0xff, so a search rarely stops inside a frame
_HEADER: Final = Struct("<8sIQ")  # magic, format, first number; their CRC-32 follows
_CRC: Final = Struct("<I")
_HEAD: Final = Struct("<4sII")  # marker, length of the body, CRC-32 of all that follows
_META: Final = Struct("<QBqHQ?")  # number, kind, receive time, slot, session, whether a binary message
_WHOLE_HEAD: Final = Struct(_HEAD.format + _META.format[1:])
HEADER_BYTES: Final = _HEADER.size + _CRC.size
RECORD_BYTES: Final = _HEAD.size + _META.size  # without the body
_FRAME, _KEY, _MARK = 1, 2, 3
_CIPHER_KEY: Final = TypeAdapter(CipherKey)

Number = Annotated[int, Field(ge=0, lt=2**62)]  # of a frame, how many, or ns; far above any real one
LossReason = Literal["journal_full", "disk", "corrupt", "dead_letter_refused"]


class Block(NamedTuple):
    """Frames with consecutive numbers from `first_seq` on."""

    first_seq: int
    frames: list[Received]

    @property
    def last_seq(self) -> int:
        """The number of the last frame, or `first_seq - 1` in an empty block."""
        return self.first_seq + len(self.frames) - 1


class Key(NamedTuple):
    """A session's cipher key; `seq` is the last number given before it. It has no number itself."""

    seq: int
    slot: int
    session: int
    key: CipherKey

    @property
    def first_seq(self) -> int:
        """The number after it."""
        return self.seq + 1

    @property
    def last_seq(self) -> int:
        """The number before it."""
        return self.seq


class Mark(NamedTuple):
    """These numbers have no frame in the log: all are finished, or lost."""

    first_seq: Number
    last_seq: Number
    lost: LossReason | None  # None: finished


Item = Block | Key | Mark


def header(first: int) -> bytes:
    """Return the header of a segment that begins with this number."""
    fields = _HEADER.pack(MAGIC, FORMAT, first)
    return fields + _CRC.pack(crc32(fields))


def format_of(head: bytes) -> int | None:
    """Return the format that a file's first bytes name, or None if the header is damaged."""
    if len(head) < HEADER_BYTES or _CRC.unpack_from(head, _HEADER.size)[0] != crc32(head[: _HEADER.size]):
        return None
    magic, version, _ = _HEADER.unpack_from(head)
    return int(version) if magic == MAGIC else None


def encode(items: Iterable[Item]) -> bytes:
    """Return the records of these items, in their order."""
    parts = list[bytes]()
    for item in items:
        match item:
            case Block(first, frames):
                for seq, (received_ns, slot, session, binary, raw) in enumerate(frames, first):
                    meta = _META.pack(seq, _FRAME, received_ns, slot, session, binary)
                    parts += (_HEAD.pack(_MARKER, len(raw), crc32(raw, crc32(meta))), meta, raw)
            case Key(seq, slot, session, key):
                parts += _record(_META.pack(seq, _KEY, 0, slot, session, 0), json.dumps(key).encode())
            case Mark(first, last, lost):
                body = {"from": first, "to": last, "state": "lost" if lost else "finished", "reason": lost}
                parts += _record(_META.pack(last, _MARK, 0, 0, 0, 0), json.dumps(body).encode())
    return b"".join(parts)


def _record(meta: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
    return _HEAD.pack(_MARKER, len(body), crc32(body, crc32(meta))), meta, body


class Taken(NamedTuple):
    """Items and the places where each begins and ends; `used` bytes are done with."""

    items: list[tuple[int, int, Item]]
    used: int


def take(data: bytes, highest: int, *, is_end: bool) -> Taken:
    """Return the items of the whole records with ascending numbers above `highest`.

    Bytes that are no such record are skipped, up to the next one that is. Unless `data` ends with
    the file, the last bytes may be the beginning of a record and are left.
    """
    found, at, size, view = list[tuple[int, int, Item]](), 0, len(data), memoryview(data)
    while at < size:
        end = _end(data, at)
        if end is not None and end > size and not is_end:
            return Taken(found, at)
        item = _whole(data, view, at, end, highest) if end is not None and end <= size else None
        if item is not None and end is not None:
            if isinstance(item, Block):
                end = _extend(item, data, view, end)
            found.append((at, end, item))
            highest, at = max(highest, item.last_seq), end
        elif (following := data.find(_MARKER, at + 1)) >= 0:
            at = following
        else:
            return Taken(found, size if is_end else max(at + 1, size - len(_MARKER) + 1))
    return Taken(found, at)


def _extend(block: Block, data: bytes, view: memoryview, at: int) -> int:
    """Append the frames whose records follow with the next numbers; return where they end.

    Nearly all records are such, and a backlog is millions of them.
    """
    unpack, add, received, checked = _WHOLE_HEAD.unpack_from, block.frames.append, tuple.__new__, _HEAD.size
    last, seq = len(data) - RECORD_BYTES, block.last_seq + 1
    while at <= last:
        marker, length, crc, number, kind, received_ns, slot, session, binary = unpack(data, at)
        body = at + RECORD_BYTES
        end = body + length
        if number != seq or kind != _FRAME or marker != _MARKER or end > len(data):
            break
        if crc32(view[at + checked : end]) != crc:
            break
        add(received(Received, (received_ns, slot, session, binary, data[body:end])))
        seq, at = number + 1, end
    return at


def _end(data: bytes, at: int) -> int | None:
    """Return where the record at this place ends, maybe beyond `data`; None if there is none."""
    if len(data) < at + _HEAD.size:
        return at + _HEAD.size if data[at : at + len(_MARKER)] == _MARKER[: len(data) - at] else None
    marker, length, _ = _HEAD.unpack_from(data, at)
    return at + RECORD_BYTES + length if marker == _MARKER and length <= MOST_BYTES else None


def _whole(data: bytes, view: memoryview, at: int, end: int, highest: int) -> Item | None:
    body = at + RECORD_BYTES
    _, _, crc, seq, kind, received_ns, slot, session, binary = _WHOLE_HEAD.unpack_from(data, at)
    if crc32(view[at + _HEAD.size : end]) != crc:
        return None
    if kind == _FRAME:
        return Block(seq, [Received(received_ns, slot, session, binary, data[body:end])]) if seq > highest else None
    try:
        if kind == _KEY:
            return Key(seq, slot, session, _CIPHER_KEY.validate_json(data[body:end])) if seq >= highest else None
        content = json.loads(data[body:end])
        first, lost = content["from"], content["reason"]
        is_sound = kind == _MARK and (lost is None or lost in get_args(LossReason)) and type(first) is int
        return Mark(first, seq, lost) if is_sound and 0 < first <= seq == content["to"] else None
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
