"""Splits one data frame of KIS into its records."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from connector.core.cipher_key import CipherKey
from connector.core.ticks.cipher import decrypt

TR_ID = "H0BJCNT0"
MAX_COUNT = 999
MIN_WIDTH = 19  # the columns KIS documents; a schema with more columns does not change it
MAX_WIDTH = 37  # a record of 38 columns would be two whole records, so the count or the frame is wrong
ENCRYPTED_PREFIX = b"1|"
PLAIN_SINGLE = f"0|{TR_ID}|001|".encode()

FrameReason = Literal[
    "FRAME_KIND",
    "FRAME_NOT_UTF8",
    "FRAME_HEADER",
    "FRAME_FLAG",
    "FRAME_TR",
    "FRAME_COUNT",
    "DECRYPT_NO_KEY",
    "DECRYPT_FAILED",
    "FRAME_ARITY",
]


class Received(NamedTuple):
    """One WebSocket message as received; `session` is the time its session opened, in ns."""

    received_ns: int
    slot: int
    session: int
    binary: bool
    raw: bytes


class WireRecord(NamedTuple):
    """One record as columns and as text, both without empty undocumented columns at the end.

    If `is_utf8` is False, surrogate escapes (PEP 383) in both stand for bytes that are not UTF-8.
    """

    columns: list[str]
    text: str
    is_utf8: bool = True

    @property
    def raw(self) -> bytes:
        """The record's bytes as KIS sent them."""
        return self.text.encode("utf-8", "surrogateescape")


class BadFrame(NamedTuple):
    """Why a frame has no readable records; `detail` is an ASCII sentence."""

    reason: FrameReason
    detail: str


def split(frame: Received, keys: Sequence[CipherKey]) -> list[WireRecord] | BadFrame:  # noqa: PLR0911 - one return for each reason
    """Return the records of a data frame in wire order, or why it has none. Never raises.

    A frame is `<flag>|<TR_ID>|<count>|<payload>`. `^` separates both columns and records.
    KIS documents 19 columns and appends columns without notice, so a record may have up to 37.
    `keys` are the keys of the session, newest first. We try them in turn, because an encrypted
    frame does not say which key it needs.
    Source: KIS portal, H0BJCNT0, response; docs/kis-protocol.md, Data frames.
    """
    if frame.raw.startswith(PLAIN_SINGLE) and not frame.binary:  # true for nearly every frame; this header is good
        try:
            return _records(frame.raw[len(PLAIN_SINGLE) :].decode(), 1)
        except UnicodeDecodeError:
            pass
    if frame.binary:
        return BadFrame("FRAME_KIND", "a binary message; KIS sends text")
    text, first_bad = _decode(frame.raw)
    if first_bad is not None and frame.raw.count(b"|", 0, first_bad) < 3:
        return BadFrame("FRAME_NOT_UTF8", f"byte {first_bad}, in the header, is not UTF-8")
    parts = text.split("|", 3)
    if len(parts) != 4:
        return BadFrame(
            "FRAME_HEADER", f"{len(parts)} of the four parts flag|TR|count|payload" if text else "an empty message"
        )
    flag, tr_id, count_text, payload = parts
    if flag not in ("0", "1"):
        return BadFrame("FRAME_FLAG", f"flag {flag[:20]!a} is neither 0 nor 1")
    if tr_id != TR_ID:
        return BadFrame("FRAME_TR", f"TR {tr_id[:20]!a} is not {TR_ID}")
    count = _count(count_text)
    if count is None:
        return BadFrame("FRAME_COUNT", f"count {count_text[:20]!a} is not 1 to {MAX_COUNT}")
    if flag == "1":
        return _split_encrypted(payload, count, keys)
    records = _records(payload, count)
    return records if first_bad is None else _marked(records)


def _decode(raw: bytes) -> tuple[str, int | None]:
    """Return the text and the index of the first byte that is not UTF-8 (None if there is none)."""
    try:
        return raw.decode(), None
    except UnicodeDecodeError as error:
        return raw.decode("utf-8", "surrogateescape"), error.start


def _count(text: str) -> int | None:
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit()) or not 1 <= len(digits) <= 3:
        return None
    return int(digits)


def decrypted(frame: Received, keys: Sequence[CipherKey]) -> Received | BadFrame:
    """Return an encrypted frame as KIS would have sent it in plain text, or why no key opens it.

    The plain frame has the same records. Every other frame is returned as it is. Never raises.
    """
    parts = frame.raw.split(b"|", 3)
    if frame.binary or len(parts) != 4 or parts[:2] != [b"1", TR_ID.encode()]:
        return frame
    count = _count(parts[2].decode("ascii", "replace"))
    if count is None:
        return frame
    opened = _open(_decode(parts[3])[0], count, keys)
    if isinstance(opened, BadFrame):
        return opened
    return frame._replace(raw=b"|".join((b"0", *parts[1:3], opened.plain)))


def _split_encrypted(payload: str, count: int, keys: Sequence[CipherKey]) -> list[WireRecord] | BadFrame:
    opened = _open(payload, count, keys)
    if isinstance(opened, BadFrame):
        return opened
    return opened.records if opened.is_utf8 else _marked(opened.records)


class _Opened(NamedTuple):
    """The plain text of an encrypted payload, and its records if it has any."""

    plain: bytes
    records: list[WireRecord] | BadFrame
    is_utf8: bool


def _open(payload: str, count: int, keys: Sequence[CipherKey]) -> _Opened | BadFrame:
    """Return what the first key opens that gives records, or else gives UTF-8."""
    if not keys:
        return BadFrame("DECRYPT_NO_KEY", "no reply of this session brought a key")
    verdict: _Opened | BadFrame
    verdict = BadFrame("DECRYPT_FAILED", f"none of the session's {len(keys)} keys opens it")
    for key in keys:
        plain = decrypt(payload, key)
        if plain is None:
            continue
        text, first_bad = _decode(plain)
        opened = _Opened(plain, _records(text, count), first_bad is None)
        if not isinstance(opened.records, BadFrame):
            return opened
        if opened.is_utf8:  # otherwise a wrong key gave garbage with good padding by chance
            verdict = opened
    return verdict


def _records(payload: str, count: int) -> list[WireRecord] | BadFrame:
    columns = payload.split("^")
    total = len(columns)
    if count == 1 and MIN_WIDTH <= total <= MAX_WIDTH and columns[-1]:
        return [WireRecord(columns, payload)]
    if not columns[-1] and (total - 1) % count == 0 and MIN_WIDTH <= (total - 1) // count <= MAX_WIDTH:
        columns.pop()
        total -= 1
    each, rest = divmod(total, count)
    if rest or not MIN_WIDTH <= each <= MAX_WIDTH:
        return BadFrame("FRAME_ARITY", f"{total} columns for {count} records; each has {MIN_WIDTH} to {MAX_WIDTH}")
    return [_record(columns[start : start + each]) for start in range(0, total, each)]


def _marked(records: list[WireRecord] | BadFrame) -> list[WireRecord] | BadFrame:
    """Set `is_utf8` to False in the records that contain surrogate escapes."""
    if isinstance(records, BadFrame):
        return records
    return [record._replace(is_utf8=_decode(record.raw)[1] is None) for record in records]


def _record(columns: list[str]) -> WireRecord:
    while len(columns) > MIN_WIDTH and not columns[-1]:
        columns.pop()
    return WireRecord(columns, "^".join(columns))
