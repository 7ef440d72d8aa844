"""Takes one data frame of KIS apart into the texts of its records."""

from collections.abc import Sequence
from typing import NamedTuple

from connector.core.cipher_key import CipherKey
from connector.core.ticks.cipher import decrypt

TR_ID = "H0BJCNT0"
MAX_COUNT = 999
MAX_WIDTH = (
    37  # from 38 on there are two records' worth of columns for each counted one: the count or the frame is wrong
)
ENCRYPTED_PREFIX = b"1|"
PLAIN_SINGLE = f"0|{TR_ID}|001|".encode()


class Received(NamedTuple):
    """One WebSocket message as it came: wall clock in ns, slot, the session's opening time in ns, opcode, bytes."""

    received_ns: int
    slot: int
    session: int
    binary: bool
    raw: bytes


class WireRecord(NamedTuple):
    """One record of a frame: its columns and its raw text, both without empty columns behind the documented ones."""

    columns: list[str]
    text: str


class BadFrame(NamedTuple):
    """A frame of which no record can be told: one of the FRAME_* and DECRYPT_* reasons, and an ASCII sentence."""

    reason: str
    detail: str


def split(frame: Received, width: int, keys: Sequence[CipherKey]) -> list[WireRecord] | BadFrame:  # noqa: PLR0911 - a return for each reason
    """Return the records of a data frame in the order KIS sent them, or why there are none. Never raises.

    `<flag>|<TR_ID>|<count>|<payload>`, the payload `^`-separated, records without a separator between them. `width` is the
    number of documented columns; KIS appends columns without notice, so that up to 37 are taken. `keys` are the session's,
    newest first: an encrypted frame does not say whose it needs.
    Source: KIS portal, H0BJCNT0, response; kis-protocol §5.
    """
    if (
        frame.raw.startswith(PLAIN_SINGLE) and not frame.binary
    ):  # nearly every frame: nothing of its header is left to judge
        try:
            return _records(frame.raw[len(PLAIN_SINGLE) :].decode(), 1, width)
        except UnicodeDecodeError:
            pass
    if frame.binary:
        return BadFrame("FRAME_KIND", "a binary message; KIS sends text")
    try:
        text = frame.raw.decode()
    except UnicodeDecodeError as error:
        return BadFrame("FRAME_NOT_UTF8", f"byte {error.start} is not UTF-8")
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
        return _split_encrypted(payload, count, width, keys)
    return _records(payload, count, width)


def _count(text: str) -> int | None:
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit()) or not 1 <= len(digits) <= 3:
        return None
    return int(digits)


def _split_encrypted(payload: str, count: int, width: int, keys: Sequence[CipherKey]) -> list[WireRecord] | BadFrame:
    if not keys:
        return BadFrame("DECRYPT_NO_KEY", "no reply of this session brought a key")
    verdict = BadFrame("DECRYPT_FAILED", f"none of the session's {len(keys)} keys opens it")
    for key in keys:
        plain = decrypt(payload, key)
        if plain is None:
            continue
        records = _records(plain, count, width)
        if not isinstance(records, BadFrame):
            return records
        verdict = records
    return verdict


def _records(payload: str, count: int, width: int) -> list[WireRecord] | BadFrame:
    columns = payload.split("^")
    total = len(columns)
    if count == 1 and total == width and columns[-1]:
        return [WireRecord(columns, payload)]
    if not columns[-1] and (total - 1) % count == 0 and width <= (total - 1) // count <= MAX_WIDTH:
        columns.pop()
        total -= 1
    each, rest = divmod(total, count)
    if rest or not width <= each <= MAX_WIDTH:
        return BadFrame("FRAME_ARITY", f"{total} columns for {count} records; each has {width} to {MAX_WIDTH}")
    return [_record(columns[start : start + each], width) for start in range(0, total, each)]


def _record(columns: list[str], width: int) -> WireRecord:
    while len(columns) > width and not columns[-1]:
        columns.pop()
    return WireRecord(columns, "^".join(columns))
