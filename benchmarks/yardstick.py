"""A sketch of split and encode, with whose CPU time the connector's is compared.

It does the same kind of work on the same frames: one split, columns, look-ups in dicts, arithmetic
for volumes, BLAKE2b, one join for each record. It yields the same bytes of plain frames, but it
checks nothing, and knows one width, one day and one framing. Another CPU changes both alike.

It shares no code with the connector, so that a slower connector cannot slow it. Do not make it
faster. After a change, record the ratios again.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from hashlib import blake2b
from itertools import chain, repeat

from connector.core.ticks.frame import Received

WIDTH = 19
HEADER_BYTES = len(b"0|H0BJCNT0|001|")
COUNT = slice(-4, -1)  # of the header
DAY_MS, SEOUL_MS = 86_400_000, 9 * 3_600_000
FRAMES_A_RUN = 256

Columns = Sequence[Callable[[Sequence[str]], Iterable[bytes]]]


class Cells(dict[str, bytes]):
    """Texts of one type, encoded when a text is new."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        self._encode = encode

    def __missing__(self, text: str) -> bytes:
        encoded = self[text] = self._encode(text)
        return encoded


def encoder(prefix: bytes) -> Callable[[Sequence[Received]], list[bytes]]:
    """Return what encodes frames received on one day, each value after the prefix."""
    cells = _columns()
    day: list[tuple[Cells, bytes]] = []

    def encode(frames: Sequence[Received]) -> list[bytes]:
        if not day:
            days = (frames[0].received_ns // 1_000_000 + SEOUL_MS) // DAY_MS
            day.append((Cells(_traded(days)), f"{date(1970, 1, 1) + timedelta(days)}|".encode()))
        values: list[bytes] = []
        for start in range(0, len(frames), FRAMES_A_RUN):
            values += _run(frames[start : start + FRAMES_A_RUN], prefix, cells, *day[0])
        return values

    return encode


def _run(frames: Sequence[Received], prefix: bytes, cells: Columns, traded: Cells, day: bytes) -> list[bytes]:
    counts = [int(frame.raw[:HEADER_BYTES][COUNT]) for frame in frames]
    raws = [frame.raw[HEADER_BYTES:] for frame in frames]
    if [raw.count(b"^") + 1 for raw in raws] != [count * WIDTH for count in counts]:
        raise ValueError("a frame is not plain")
    texts = b"^".join(raws).decode().split("^")
    columns = [texts[column::WIDTH] for column in range(WIDTH)]
    if len(raws) < len(columns[0]):
        raws = ["^".join(record).encode() for record in zip(*[iter(texts)] * WIDTH, strict=True)]
    received = chain.from_iterable(map(repeat, [frame.received_ns // 1_000_000 for frame in frames], counts))
    received_ms = list(received)
    origins = {ms: _long(ms) + b"\x04ws\x00" for ms in set(received_ms)}  # and no extra columns
    parts = (
        repeat(prefix),
        *[encode(column) for encode, column in zip(cells, columns, strict=True)],
        repeat(b"\x40"),  # the length of a tick_id
        _ids(day, raws),
        map(traded.__getitem__, columns[2]),
        [origins[ms] for ms in received_ms],
    )
    return list(map(b"".join, zip(*parts, strict=False)))


def _ids(day: bytes, raws: Iterable[bytes]) -> list[bytes]:
    copy, digests = blake2b(day, digest_size=16).copy, []
    for raw in raws:
        digest = copy()
        digest.update(raw)
        digests.append(digest.digest())
    digits = b"".join(digests).hex().encode()
    return [digits[at : at + 32] for at in range(0, len(digits), 32)]


def _columns() -> Columns:
    text, nullable_text = Cells(_text), Cells(lambda text: b"\x02" + _text(text))
    price, nullable_price = Cells(_decimal), Cells(lambda text: b"\x02" + _decimal(text))
    cached = (text, nullable_text, text, nullable_text, nullable_price, nullable_price, price)
    look_ups = [_look_up(cells) for cells in cached]
    nullables = [_look_up(nullable_price)] * 8
    return [*look_ups, _volumes, *nullables, _volumes, _nullable_volumes, _look_up(nullable_text)]


def _look_up(cells: Cells) -> Callable[[Sequence[str]], Iterable[bytes]]:
    return lambda texts: map(cells.__getitem__, texts)


_GROUP = 1 << 14  # fourteen bits are two bytes of Avro's integers
_INNER = [bytes((bits & 0x7F | 0x80, bits >> 7 | 0x80)) for bits in range(_GROUP)]
_LAST = [bytes((bits & 0x7F | 0x80, bits >> 7)) if bits >> 7 else bytes((bits,)) for bits in range(_GROUP)]
_HALF = _GROUP >> 1
_LOWEST, _ONLY = _INNER[::2], _LAST[::2]


def _volumes(texts: Sequence[str]) -> list[bytes]:
    return [
        _ONLY[number]
        if number < _HALF
        else _LOWEST[number % _HALF] + _LAST[number // _HALF]
        if number < _HALF * _GROUP
        else _long(number)
        for number in map(int, texts)
    ]


def _nullable_volumes(texts: Sequence[str]) -> Iterable[bytes]:
    return map(b"\x02".__add__, _volumes(texts))


def _text(text: str) -> bytes:
    raw = text.encode()
    return _long(len(raw)) + raw


def _decimal(text: str) -> bytes:
    whole, _, fraction = text.partition(".")
    number = int(whole + fraction.ljust(4, "0"))
    size = number.bit_length() // 8 + 1
    return _long(size) + number.to_bytes(size, "big", signed=True)


def _traded(days: int) -> Callable[[str], bytes]:
    def encode(text: str) -> bytes:
        seconds = (int(text[:2]) * 60 + int(text[2:4])) * 60 + int(text[4:])
        return _long(days) + _long(days * DAY_MS - SEOUL_MS + seconds * 1000)

    return encode


def _long(number: int) -> bytes:
    rest, encoded = number << 1 ^ number >> 63, b""
    while rest >= _GROUP:
        encoded += _INNER[rest % _GROUP]
        rest //= _GROUP
    return encoded + _LAST[rest]
