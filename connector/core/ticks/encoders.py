"""Encodes the texts of columns as Avro.

A number is encoded by arithmetic, or taken from a cache of recent texts. Prices, yields, names and
times repeat all day, so their bytes are cached. Volumes do not repeat, and are never cached, except
those of the day before.

Neighbouring columns that change together are looked up as one text: the ISIN and the name, the
price and its change, the open, high and low of the day. What 1,000 bonds have cached does not fit
into a core's own cache, so fewer look-ups save more time than a look-up of a longer text costs.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import call
from typing import Any, NamedTuple

from connector.core.bonds.isin import has_shape
from connector.core.ticks.columns import VOLUME_DIGITS, BadColumn, time_of_day_ms, unscaled, volume

EncodeText = Callable[[str], bytes]
EncodeTexts = Callable[[Sequence[str]], Iterable[bytes]]

ISIN_COLUMN = "STND_ISCD"
TIME_COLUMN = "STCK_CNTG_HOUR"
YIELD_COLUMN = "BOND_CNTG_ERT"  # changes with each price, and stands between columns that do not
_ALONE = (TIME_COLUMN, YIELD_COLUMN)

# What each of the two halves of a cache holds. A day of 1,000 bonds has some 15,000 prices, each
# with its change. Full caches of groups hold some 20 MB.
CACHED_GROUPS = 1 << 14
CACHED_DECIMALS = 1 << 13  # columns of one type share a cache
CACHED_TEXTS = 1 << 12  # ISINs, names, codes, times of day, volumes of the day before
CACHED_LENGTH = 128  # characters; longer texts are not cached

_NULL, _NOT_NULL = b"\x00", b"\x02"  # the index of a branch in a union of null and a type
# Fourteen bits as bytes of Avro's variable-length integers: inside a number, and at its end.
_GROUP = 1 << 14
_INNER = [bytes((bits & 0x7F | 0x80, bits >> 7 | 0x80)) for bits in range(_GROUP)]
_LAST = [bytes((bits & 0x7F | 0x80, bits >> 7)) if bits >> 7 else bytes((bits,)) for bits in range(_GROUP)]
# The same for the lowest bits of a number that is not negative: zigzag doubles it.
_HALF_GROUP = _GROUP >> 1
_LOWEST, _ONLY = _INNER[::2], _LAST[::2]
_ARRAY_END = b"\x00"


class Encoder(NamedTuple):
    """Encodes one column: one text, or the texts of many records.

    Both raise BadColumn if a text does not fit. `many` may also raise ValueError without a reason,
    and may do so only when its result is read. If `is_grouped`, the column may be encoded together
    with its neighbours.
    """

    one: EncodeText
    many: EncodeTexts
    is_grouped: bool = False


class Group(NamedTuple):
    """Encodes consecutive columns, whose texts are separated by `^`; `begin` is the first one.

    A text with fewer columns is encoded as if the others were empty. What is raised is as in
    Encoder.
    """

    begin: int
    one: EncodeText
    many: EncodeTexts


class Cache(dict[str, bytes]):
    """The bytes of recent texts, encoded when a text is new.

    The dict is the newer half. When it holds `size` texts, it becomes the older half, and the
    previous older half is evicted. A text found in the older half is copied back, so that texts in
    use stay.
    """

    def __init__(self, encode: EncodeText, size: int) -> None:
        super().__init__()
        self._encode = encode
        self._size = size
        self._older: dict[str, bytes] = {}

    def __missing__(self, text: str) -> bytes:
        encoded = self._older.get(text) or self._encode(text)
        if len(text) <= CACHED_LENGTH:
            if len(self) >= self._size:
                self._older = self.copy()
                self.clear()
            self[text] = encoded
        return encoded


def encoders(columns: Sequence[Mapping[str, Any]]) -> list[Encoder]:
    """Return each column's encoder; most columns of one type share it and its cache.

    Raises ValueError if no text of KIS fits a column's type.
    """
    shared: dict[str, Encoder] = {}
    found = []
    for column in columns:
        has_own = column["name"] in (ISIN_COLUMN, *_ALONE)
        kind = column["name"] if has_own else json.dumps(column["type"])
        if kind not in shared:
            shared[kind] = _encoder(column)
        found.append(shared[kind])
    return found


def _encoder(column: Mapping[str, Any]) -> Encoder:
    is_nullable = isinstance(column["type"], list)
    cached = partial(_cached, is_grouped=column["name"] not in _ALONE)
    match column["name"], _bare_type(column["type"]):
        case str(name), "string" if name == ISIN_COLUMN:
            return cached(_isin, CACHED_TEXTS)
        case str(name), "string" if name == TIME_COLUMN:
            return cached(_time, CACHED_TEXTS)
        case _, "string" if is_nullable:
            return cached(_nullable(encode_string), CACHED_TEXTS)
        case _, "long" if is_nullable:  # a volume of the day before
            return cached(_nullable(_volume), CACHED_TEXTS)
        case _, "long":
            return Encoder(_volume, _volumes)
        case _, {"logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            encode = _decimal(precision, scale)
            return cached(_nullable(encode) if is_nullable else encode, CACHED_DECIMALS)
        case name, other:
            raise ValueError(f"bond_tick.avsc: column {name} has type {other}, which no text of KIS fits")


def groups(columns: Sequence[Encoder]) -> list[Group]:
    """Return the groups of a record's columns, in their order."""
    found = []
    for _, numbered in groupby(enumerate(columns), lambda column: -1 if column[1].is_grouped else column[0]):
        (begin, first), *others = numbered
        if others:
            first = _cached(_together([first.one, *[column.one for _, column in others]]), CACHED_GROUPS)
        found.append(Group(begin, first.one, first.many))
    return found


def _together(encoders: Sequence[EncodeText]) -> EncodeText:
    def encode(text: str) -> bytes:
        texts = text.split("^")
        return b"".join(map(call, encoders, texts + [""] * (len(encoders) - len(texts))))

    return encode


def _cached(encode: EncodeText, size: int, *, is_grouped: bool = False) -> Encoder:
    look_up = Cache(encode, size).__getitem__
    return Encoder(look_up, partial(map, look_up), is_grouped)


def _nullable(encode: EncodeText) -> EncodeText:
    return lambda text: _NOT_NULL + encode(text) if text else _NULL


def _bare_type(avro_type: Any) -> Any:
    return avro_type[1] if isinstance(avro_type, list) else avro_type


def _isin(text: str) -> bytes:
    if not has_shape(text):
        raise BadColumn("FIELD_ISIN", f"{text[:40]!a} does not have the shape of an ISIN")
    return encode_string(text)


def _time(text: str) -> bytes:
    time_of_day_ms(text)
    return encode_string(text)


def _volume(text: str) -> bytes:
    return encode_long(volume(text))


def _volumes(texts: Sequence[str]) -> list[bytes]:
    """Encode many volumes. Raises ValueError if one of them is bad or empty."""
    together = "".join(texts)
    if not (together.isdigit() and together.isascii() and max(map(len, texts)) <= VOLUME_DIGITS):
        raise ValueError("a volume is bad")
    return [
        _ONLY[number]
        if number < _HALF_GROUP
        else _LOWEST[number % _HALF_GROUP] + _LAST[number // _HALF_GROUP]
        if number < _HALF_GROUP * _GROUP
        else encode_long(number)
        for number in map(int, texts)
    ]


def _decimal(precision: int, scale: int) -> EncodeText:
    def encode(text: str) -> bytes:
        number = unscaled(text, precision, scale)
        size = number.bit_length() // 8 + 1  # a bit for the sign
        return encode_long(size) + number.to_bytes(size, "big", signed=True)

    return encode


def encode_string(text: str) -> bytes:
    """Return a text as Avro's string."""
    raw = text.encode()
    return encode_long(len(raw)) + raw


def encode_array(texts: Sequence[str]) -> bytes:
    """Return texts as Avro's array of strings."""
    if not texts:
        return _ARRAY_END
    return encode_long(len(texts)) + b"".join(map(encode_string, texts)) + _ARRAY_END


def encode_long(number: int) -> bytes:
    """Return a number of up to 64 bits as Avro's int or long: zigzag, seven bits a byte."""
    rest = number << 1 ^ number >> 63
    encoded = b""
    while rest >= _GROUP:
        encoded += _INNER[rest % _GROUP]
        rest //= _GROUP
    return encoded + _LAST[rest]
