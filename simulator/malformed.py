"""Every kind of malformed data that KIS could send, with the reason a reader should give."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

from simulator.request import TR_ID


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that is malformed as a whole, or whose only record is malformed."""

    reason: str
    raw: bytes
    binary: bool = False


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A malformed record to append to the good records of a frame."""

    reason: str
    raw: str


Maker = Callable[[str], BadFrame | BadRecord]


def endless() -> Iterator[Maker]:
    """Yield the makers in turn, without end. A maker takes the text of a good record."""
    return cycle(MAKERS)


def _framed(reason: str, pattern: str) -> Maker:
    return lambda record: BadFrame(reason, pattern.format(tr=TR_ID, record=record).encode())


def _changed(reason: str, column: int, value: str) -> Maker:
    def make(record: str) -> BadRecord:
        columns = record.split("^")
        columns[column] = value
        return BadRecord(reason, "^".join(columns))

    return make


def _binary(record: str) -> BadFrame:
    return BadFrame("FRAME_KIND", f"0|{TR_ID}|001|{record}".encode(), binary=True)


def _header_not_utf8(record: str) -> BadFrame:
    return BadFrame("FRAME_NOT_UTF8", b"\xff" + f"0|{TR_ID}|001|{record}".encode())


def _price_not_utf8(record: str) -> BadFrame:
    columns = record.encode().split(b"^")
    columns[6] = "국".encode("cp949")  # the code page of KIS's files
    return BadFrame("FIELD_NOT_UTF8", f"0|{TR_ID}|001|".encode() + b"^".join(columns))


def _short(record: str) -> BadFrame:
    return BadFrame("FRAME_ARITY", f"0|{TR_ID}|001|{record.rpartition('^')[0]}".encode())


def _caret_in_name(record: str) -> BadFrame:
    code, name, rest = record.split("^", 2)
    return BadFrame("FIELD_TIME", f"0|{TR_ID}|001|{code}^{name[:2]}^{name[2:]}^{rest}".encode())


MAKERS: tuple[Maker, ...] = (
    _binary,
    _header_not_utf8,
    _framed("FRAME_HEADER", ""),
    _framed("FRAME_HEADER", "0|{tr}|001"),
    _framed("FRAME_FLAG", "2|{tr}|001|{record}"),
    _framed("FRAME_TR", "0|H0BJCNT9|001|{record}"),
    _framed("FRAME_COUNT", "0|{tr}|000|{record}"),
    _framed("FRAME_COUNT", "0|{tr}|one|{record}"),
    _framed("DECRYPT_FAILED", "1|{tr}|001|not base64!"),
    _short,
    _framed("FRAME_ARITY", "0|{tr}|001|{record}^{record}"),
    _caret_in_name,
    _price_not_utf8,
    _changed("FIELD_EMPTY", 6, ""),
    _changed("FIELD_ISIN", 0, "kr103502gd31"),
    _changed("FIELD_TIME", 2, "240000"),
    _changed("FIELD_NUMBER", 6, "1e9"),
    _changed("FIELD_NUMBER", 16, "+1"),
    _changed("FIELD_RANGE", 7, "-10"),
    _changed("FIELD_RANGE", 12, "3.01234"),
)
