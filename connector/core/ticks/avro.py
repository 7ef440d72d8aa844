"""Writes ticks as Avro, and reads them back: the schema, the two framings, the remembered bytes of column values."""

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from operator import getitem
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from connector.core.bonds.isin import has_shape
from connector.core.ticks.columns import (
    DAY_MS,
    BadColumn,
    Identity,
    Moment,
    decimal,
    identity,
    moment,
    tick_id,
    time_of_day_ms,
    volume,
)
from connector.core.ticks.frame import WireRecord

SINGLE_OBJECT_MARK = b"\xc3\x01"  # Avro specification, single-object encoding
REGISTRY_MARK = b"\x00"  # Confluent's wire format: this byte, a 4-byte id, the datum

ISIN_COLUMN = "STND_ISCD"
TIME_COLUMN = "STCK_CNTG_HOUR"
OWN_FIELDS = (
    "tick_id",
    "trade_date",
    "traded_at",
    "received_at",
    "source",
    "extra",
)  # the order in which _own_fields writes them

# Prices, yields, names and times repeat all day; accumulated volumes never do. Past either bound nothing is kept for long.
REMEMBERED_VALUES = 1024
REMEMBERED_LENGTH = 128

_EPOCH = date(1970, 1, 1)
_EMPTY_ARRAY = b"\x00"
_ID_LENGTH = b"\x40"  # Avro's length of the 32 digits of a tick_id: zigzag(32)


class Tick(NamedTuple):
    """One tick as Kafka gets it: key, Kafka's timestamp in ms, framed Avro datum."""

    isin: str
    timestamp_ms: int
    value: bytes


class BadTick(NamedTuple):
    """One record that the schema cannot hold: a FIELD_* reason, an ASCII sentence, the first bad column, the key if it has one."""

    reason: str
    detail: str
    field: str
    isin: str | None


class Origin(NamedTuple):
    """Where and when a frame was received: ms since the epoch, and the bytes that say so in each of its ticks."""

    received_ms: int
    encoded: bytes


class TickSchema:
    """The schema of one tick: the columns KIS sends are the fields in capitals, in wire order; what follows is ours."""

    def __init__(self, text: str) -> None:
        """Parse `schemas/bond_tick.avsc`. Raises ValueError where our fields are not the ones this module writes."""
        self.text = text
        raw = json.loads(text)
        self.parsed = parse_schema(raw)
        fields = raw["fields"]
        self.columns: list[Mapping[str, Any]] = [field for field in fields if field["name"].isupper()]
        self.own: dict[str, Mapping[str, Any]] = {field["name"]: field for field in fields[len(self.columns) :]}
        if tuple(self.own) != OWN_FIELDS:
            raise ValueError(f"bond_tick.avsc: after the columns come {tuple(self.own)}, expected {OWN_FIELDS}")
        crc = fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO")
        self.fingerprint = bytes.fromhex(crc)
        self.single_object_prefix = SINGLE_OBJECT_MARK + self.fingerprint

    @property
    def width(self) -> int:
        """The number of columns KIS documents."""
        return len(self.columns)


def registry_prefix(schema_id: int) -> bytes:
    """Return what stands before a datum under a schema registry's id."""
    return REGISTRY_MARK + schema_id.to_bytes(4, "big")


class Remembered(dict[str, bytes]):
    """The encoded bytes of one field's texts; a text not met before is checked and written once, by fastavro."""

    def __init__(self, field: Mapping[str, Any], read: Callable[[str], Any]) -> None:
        super().__init__()
        self._type = parse_schema(field["type"])
        self._name = field["name"]
        self._nullable = isinstance(field["type"], list)
        self._read = read

    def __missing__(self, text: str) -> bytes:
        if text:
            try:
                value = self._read(text)
            except BadColumn as bad:
                raise FieldRefused(self._name, bad.reason, bad.detail) from None
        elif self._nullable:
            value = None
        else:
            raise FieldRefused(self._name, "FIELD_EMPTY", "the column is empty")
        buffer = BytesIO()
        schemaless_writer(buffer, self._type, value, strict=True)
        encoded = buffer.getvalue()
        if len(text) <= REMEMBERED_LENGTH:
            if len(self) >= REMEMBERED_VALUES:
                self.clear()
            self[text] = encoded
        return encoded


class FieldRefused(BadColumn):
    """A BadColumn that knows its column."""

    def __init__(self, field: str, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.field = field


class TickEncoder:
    """Encodes records of one schema under one framing."""

    def __init__(self, schema: TickSchema, prefix: bytes) -> None:
        self._prefix = prefix
        self._columns = [Remembered(column, _reader(column)) for column in schema.columns]
        names = [column["name"] for column in schema.columns]
        self._isin, self._time = names.index(ISIN_COLUMN), names.index(TIME_COLUMN)
        self._width = schema.width
        own = schema.own
        self._date = Remembered(own["trade_date"], int)
        self._milliseconds = Remembered(own["received_at"], int)
        self._source = Remembered(own["source"], str)
        self._extra_type = parse_schema(own["extra"]["type"])
        self._traded: dict[str, _Traded] = {}
        self._latest, self._latest_source = Origin(-1, b""), ""

    def origin(self, received_ms: int, source: str = "ws") -> Origin:
        """Return what the ticks of one frame have in common: `received_ms` since the epoch, and `ws`, `rest` or `replay`."""
        if received_ms != self._latest.received_ms or source != self._latest_source:
            self._latest = Origin(received_ms, self._milliseconds[str(received_ms)] + self._source[source])
            self._latest_source = source
        return self._latest

    def encode(self, record: WireRecord, origin: Origin) -> Tick | BadTick:
        """Return the tick a record stands for, or what is wrong with its first bad column in wire order. Never raises."""
        columns, text = record
        try:
            head = b"".join(map(getitem, self._columns, columns))
        except FieldRefused as bad:
            isin = columns[self._isin]
            return BadTick(bad.reason, bad.detail, bad.field, isin if has_shape(isin) else None)
        received_ms = origin.received_ms
        traded = self._traded.get(columns[self._time])
        if traded is None or not traded.since_ms <= received_ms < traded.until_ms:
            traded = self._date_anew(columns[self._time], received_ms)
        extra = _EMPTY_ARRAY if len(columns) == self._width else self._extra(columns[self._width :])
        parts = (self._prefix, head, _ID_LENGTH, tick_id(traded.identity, text), traded.encoded, origin.encoded, extra)
        return Tick(columns[self._isin], min(traded.at_ms, received_ms), b"".join(parts))

    def _date_anew(self, text: str, received_ms: int) -> "_Traded":
        if len(self._traded) >= REMEMBERED_VALUES:
            self._traded.clear()
        traded = self._traded[text] = self._encode_moment(moment(time_of_day_ms(text), received_ms))
        return traded

    def _encode_moment(self, when: Moment) -> "_Traded":
        encoded = self._date[str(when.trade_date)] + self._milliseconds[str(when.traded_at_ms)]
        since = when.traded_at_ms - DAY_MS // 24
        return _Traded(
            since, since + DAY_MS, when.traded_at_ms, identity(_EPOCH + timedelta(days=when.trade_date)), encoded
        )

    def _extra(self, texts: list[str]) -> bytes:
        buffer = BytesIO()
        schemaless_writer(buffer, self._extra_type, texts)
        return buffer.getvalue()


class _Traded(NamedTuple):
    """A time of day's date and instant, valid for frames received from `since_ms` until before `until_ms`."""

    since_ms: int
    until_ms: int
    at_ms: int
    identity: Identity
    encoded: bytes


def _reader(column: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return what turns a column's text into the value its Avro type holds."""
    match column["name"], _bare_type(column["type"]):
        case str(name), "string" if name == ISIN_COLUMN:
            return _isin
        case str(name), "string" if name == TIME_COLUMN:
            return _time
        case _, "string":
            return str
        case _, "long":
            return volume
        case _, {"logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            return lambda text: decimal(text, precision, scale)
        case name, other:
            raise ValueError(f"bond_tick.avsc: column {name} has type {other}, which no KIS text maps to")


def _bare_type(avro_type: Any) -> Any:
    return avro_type[1] if isinstance(avro_type, list) else avro_type


def _isin(text: str) -> str:
    if not has_shape(text):
        raise BadColumn("FIELD_ISIN", f"{text[:40]!a} does not have the shape of an ISIN")
    return text


def _time(text: str) -> str:
    time_of_day_ms(text)
    return text


def decode(payload: bytes, schema: TickSchema) -> dict[str, Any]:
    """Return the fields of one Kafka value in either framing; decimals as Decimal, times as aware datetimes.

    Raises ValueError for another framing, another schema's fingerprint or bytes that end early.
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
    """Return a decoded value as JSON holds it: decimals as text, dates and times in ISO 8601."""
    match value:
        case Decimal():
            return format(value, "f")
        case date():  # a datetime is one
            return value.isoformat()
        case _:
            return value
