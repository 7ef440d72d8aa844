"""Encodes ticks as Avro and decodes them, in single-object encoding or a registry's framing."""

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from operator import call
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

from connector.core.bonds.isin import has_shape
from connector.core.ticks.columns import (
    DAY_MS,
    BadColumn,
    FieldReason,
    Identity,
    Moment,
    identity,
    is_utf8,
    moment,
    repaired,
    tick_id,
    time_of_day_ms,
    unscaled,
    volume,
)
from connector.core.ticks.frame import MIN_WIDTH, WireRecord

Encode = Callable[[str], bytes]

SINGLE_OBJECT_MARK = b"\xc3\x01"  # Avro specification, single-object encoding
REGISTRY_MARK = b"\x00"  # Confluent's wire format: this byte, a 4-byte id, the datum

ISIN_COLUMN = "STND_ISCD"
TIME_COLUMN = "STCK_CNTG_HOUR"
OWN_FIELDS = ("tick_id", "trade_date", "traded_at", "received_at", "source", "extra")  # as TickEncoder orders them

# Prices, yields, names and times repeat all day; volumes do not, and are never cached.
CACHED_VALUES = 1 << 15  # in each of the two halves of a cache; columns of one type share a cache
CACHED_TIMES = 1024  # with their dates
CACHED_LENGTH = 64  # characters; longer texts are not cached

_EPOCH = date(1970, 1, 1)
_EMPTY_ARRAY = b"\x00"
_NULL, _NOT_NULL = b"\x00", b"\x02"  # the index of a branch in a union of null and a type
# Fourteen bits as bytes of Avro's variable-length integers: inside a number, and at its end.
_GROUP = 1 << 14
_INNER = [bytes((bits & 0x7F | 0x80, bits >> 7 | 0x80)) for bits in range(_GROUP)]
_LAST = [bytes((bits & 0x7F | 0x80, bits >> 7)) if bits >> 7 else bytes((bits,)) for bits in range(_GROUP)]
_ID_LENGTH = b"\x40"  # zigzag(32): Avro writes this length before the 32 digits of a tick_id


class Tick(NamedTuple):
    """One tick as a Kafka record: its key, its timestamp in ms and its value, framed Avro."""

    isin: str
    timestamp_ms: int
    value: bytes


class BadTick(NamedTuple):
    """One record that the schema cannot hold.

    `detail` is an ASCII sentence. `field` is the bad column. `isin` is None if the record has no
    readable ISIN.
    """

    reason: FieldReason
    detail: str
    field: str
    isin: str | None


class Origin(NamedTuple):
    """What all ticks of a frame share: when the frame was received, and its source.

    `received_ms` is in ms since the epoch. `encoded` is the receive time and the source in Avro.
    """

    received_ms: int
    encoded: bytes


class TickSchema:
    """The tick schema: KIS's columns, named in capitals and in wire order, then our own fields."""

    def __init__(self, text: str) -> None:
        """Parse `schemas/bond_tick.avsc`.

        Raises ValueError if our fields are not `OWN_FIELDS`, or if a column that a record may lack
        is not nullable.
        """
        self.text = text
        raw = json.loads(text)
        self.parsed = parse_schema(raw)
        fields = raw["fields"]
        self.columns: list[Mapping[str, Any]] = [field for field in fields if field["name"].isupper()]
        own = tuple(field["name"] for field in fields[len(self.columns) :])
        if own != OWN_FIELDS:
            raise ValueError(f"bond_tick.avsc: after the columns come {own}, expected {OWN_FIELDS}")
        if required := [one["name"] for one in self.columns[MIN_WIDTH:] if not isinstance(one["type"], list)]:
            raise ValueError(f"bond_tick.avsc: {required} come after column {MIN_WIDTH} and must be nullable")
        crc = fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO")
        self.fingerprint = bytes.fromhex(crc)
        self.single_object_prefix = SINGLE_OBJECT_MARK + self.fingerprint

    @property
    def width(self) -> int:
        """The number of KIS's columns; a record may have fewer, but at least `MIN_WIDTH`."""
        return len(self.columns)


def registry_prefix(schema_id: int) -> bytes:
    """Return the bytes before a datum whose schema has this id in a registry."""
    return REGISTRY_MARK + schema_id.to_bytes(4, "big")


class Cache(dict[str, bytes]):
    """The bytes of recent texts, encoded when a text is new.

    The dict is the newer half. When it is full, it becomes the older half, and the previous older
    half is evicted. A text found in the older half is copied back, so that texts in use stay.
    """

    def __init__(self, encode: Encode) -> None:
        super().__init__()
        self._encode = encode
        self._older: dict[str, bytes] = {}

    def __missing__(self, text: str) -> bytes:
        encoded = self._older.get(text) or self._encode(text)
        if len(text) <= CACHED_LENGTH:
            if len(self) >= CACHED_VALUES:
                self._older = self.copy()
                self.clear()
            self[text] = encoded
        return encoded


class TickEncoder:
    """Encodes records as ticks of one schema in one framing."""

    def __init__(self, schema: TickSchema, prefix: bytes) -> None:
        self._prefix = prefix
        self._encoders = _encoders(schema.columns)
        self._names = names = [column["name"] for column in schema.columns]
        self._are_texts = [column["type"] == ["null", "string"] for column in schema.columns]
        self._isin, self._time = names.index(ISIN_COLUMN), names.index(TIME_COLUMN)
        self._width = schema.width
        self._traded: dict[str, _Traded] = {}
        self._latest, self._latest_source = Origin(-1, b""), ""

    def origin(self, received_ms: int, source: str = "ws") -> Origin:
        """Return what all ticks of a frame share; `source` is `ws`, `rest` or `replay`."""
        if received_ms != self._latest.received_ms or source != self._latest_source:
            self._latest = Origin(received_ms, _long(received_ms) + _string(source))
            self._latest_source = source
        return self._latest

    def encode(self, record: WireRecord, origin: Origin) -> Tick | BadTick:
        """Return the record's tick, or its first bad column in wire order. Never raises.

        A column that is not UTF-8 is reported before a column that is bad in another way.
        """
        columns, text, all_utf8 = record
        if all_utf8:
            raw = text.encode()
        else:
            if (bad := self._not_utf8(columns)) is not None:
                return bad
            columns, raw = [repaired(column) for column in columns], record.raw
        padding = self._width - len(columns)
        try:
            head = b"".join(map(call, self._encoders, columns if padding <= 0 else columns + [""] * padding))
        except BadColumn:
            return self._first_bad(columns)
        received_ms = origin.received_ms
        traded = self._traded.get(columns[self._time])
        if traded is None or not traded.since_ms <= received_ms < traded.until_ms:
            traded = self._date_time(columns[self._time], received_ms)
        extra = _EMPTY_ARRAY if padding >= 0 else _array(columns[self._width :])
        parts = (self._prefix, head, _ID_LENGTH, tick_id(traded.identity, raw), traded.encoded, origin.encoded, extra)
        return Tick(columns[self._isin], min(traded.at_ms, received_ms), b"".join(parts))

    def _not_utf8(self, columns: list[str]) -> BadTick | None:
        """Return the first column that is not UTF-8, or None. Nullable texts are skipped."""
        for name, text, is_text in zip(self._names, columns, self._are_texts, strict=False):
            if not is_text and not is_utf8(text):
                detail = f"{text[:40].encode('utf-8', 'surrogateescape')!r} is not UTF-8"
                isin = columns[self._isin]
                return BadTick("FIELD_NOT_UTF8", detail, name, isin if has_shape(isin) else None)
        return None

    def _first_bad(self, columns: list[str]) -> BadTick:
        """Return the first column that its encoder refuses."""
        isin = columns[self._isin]
        for name, encode, text in zip(self._names, self._encoders, columns, strict=False):
            try:
                encode(text)
            except BadColumn as bad:
                reason, detail = (bad.reason, bad.detail) if text else ("FIELD_EMPTY", "the column is empty")
                return BadTick(reason, detail, name, isin if has_shape(isin) else None)
        raise AssertionError("no column is bad")

    def _date_time(self, text: str, received_ms: int) -> "_Traded":
        if len(self._traded) >= CACHED_TIMES:
            del self._traded[next(iter(self._traded))]  # the oldest, because times come in order
        traded = self._traded[text] = self._encode_moment(moment(time_of_day_ms(text), received_ms))
        return traded

    def _encode_moment(self, when: Moment) -> "_Traded":
        encoded = _long(when.trade_date) + _long(when.traded_at_ms)
        since = when.traded_at_ms - DAY_MS // 24
        return _Traded(
            since, since + DAY_MS, when.traded_at_ms, identity(_EPOCH + timedelta(days=when.trade_date)), encoded
        )


class _Traded(NamedTuple):
    """A time of day and its date, if `since_ms` <= receive time < `until_ms`."""

    since_ms: int
    until_ms: int
    at_ms: int
    identity: Identity
    encoded: bytes


def _encoders(columns: list[Mapping[str, Any]]) -> list[Encode]:
    """Return the function that encodes each column; columns of one type share it and its cache."""
    shared: dict[str, Encode] = {}
    encoders = []
    for column in columns:
        kind = column["name"] if column["name"] in (ISIN_COLUMN, TIME_COLUMN) else json.dumps(column["type"])
        if kind not in shared:
            shared[kind] = _encoder(column)
        encoders.append(shared[kind])
    return encoders


def _encoder(column: Mapping[str, Any]) -> Encode:
    """Return the function that encodes one column's text. It raises BadColumn for a bad text."""
    is_nullable = isinstance(column["type"], list)
    match column["name"], _bare_type(column["type"]):
        case str(name), "string" if name == ISIN_COLUMN:
            return Cache(_isin).__getitem__
        case str(name), "string" if name == TIME_COLUMN:
            return Cache(_time).__getitem__
        case _, "string" if is_nullable:
            return Cache(_nullable(_string)).__getitem__
        case _, "long":
            return _nullable(_volume) if is_nullable else _volume
        case _, {"logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            encode = _decimal(precision, scale)
            return Cache(_nullable(encode) if is_nullable else encode).__getitem__
        case name, other:
            raise ValueError(f"bond_tick.avsc: column {name} has type {other}, which no text of KIS fits")


def _nullable(encode: Encode) -> Encode:
    return lambda text: _NOT_NULL + encode(text) if text else _NULL


def _bare_type(avro_type: Any) -> Any:
    return avro_type[1] if isinstance(avro_type, list) else avro_type


def _isin(text: str) -> bytes:
    if not has_shape(text):
        raise BadColumn("FIELD_ISIN", f"{text[:40]!a} does not have the shape of an ISIN")
    return _string(text)


def _time(text: str) -> bytes:
    time_of_day_ms(text)
    return _string(text)


def _volume(text: str) -> bytes:
    return _long(volume(text))


def _decimal(precision: int, scale: int) -> Encode:
    def encode(text: str) -> bytes:
        number = unscaled(text, precision, scale)
        size = number.bit_length() // 8 + 1  # a bit for the sign
        return _long(size) + number.to_bytes(size, "big", signed=True)

    return encode


def _string(text: str) -> bytes:
    raw = text.encode()
    return _long(len(raw)) + raw


def _array(texts: list[str]) -> bytes:
    return _long(len(texts)) + b"".join(map(_string, texts)) + _EMPTY_ARRAY


def _long(number: int) -> bytes:
    """Return a number of up to 64 bits as Avro's int or long: zigzag, seven bits a byte."""
    rest = number << 1 ^ number >> 63
    encoded = b""
    while rest >= _GROUP:
        encoded += _INNER[rest % _GROUP]
        rest //= _GROUP
    return encoded + _LAST[rest]


def decode(payload: bytes, schema: TickSchema) -> dict[str, Any]:
    """Return the fields of one Kafka value: decimals as Decimal, times as aware datetimes.

    Raises ValueError if the framing or the fingerprint is not ours. Raises ValueError also if bytes
    are missing or left over.
    """
    if payload[:2] == SINGLE_OBJECT_MARK:
        if payload[2:10] != schema.fingerprint:
            raise ValueError(
                f"written with schema {payload[2:10].hex()}, this program reads {schema.fingerprint.hex()}"
            )
        body = payload[10:]
    elif payload[:1] == REGISTRY_MARK and len(payload) > 5:
        body = payload[5:]
    else:
        raise ValueError("neither single-object encoding (0xC3 0x01) nor a registry's framing (0x00)")
    buffer = BytesIO(body)
    try:
        value = schemaless_reader(buffer, schema.parsed, None)
    except (EOFError, IndexError, StopIteration, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"the datum does not fit the schema: {type(error).__name__}") from None
    if not isinstance(value, dict) or buffer.read(1):
        raise ValueError("bytes follow the datum")
    return value


def plain(value: Any) -> Any:
    """Return a decoded value for JSON: decimals as text, dates and times as ISO 8601."""
    match value:
        case Decimal():
            return format(value, "f")
        case date():  # or a datetime, because datetime is a subclass of date
            return value.isoformat()
        case _:
            return value
