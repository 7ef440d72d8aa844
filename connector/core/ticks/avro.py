"""Encodes ticks as Avro and decodes them, in single-object encoding or a registry's framing."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from itertools import repeat
from operator import call, itemgetter
from typing import Any, Literal, NamedTuple

from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

from connector.core.bonds.isin import LENGTH as ISIN_LENGTH
from connector.core.bonds.isin import has_shape
from connector.core.ticks.columns import (
    CLOCK_ALLOWANCE_MS,
    DAY_MS,
    BadColumn,
    FieldReason,
    Identity,
    identity,
    is_utf8,
    moment,
    repaired,
    tick_id,
    tick_ids,
    time_of_day_ms,
)
from connector.core.ticks.encoders import (
    ISIN_COLUMN,
    TIME_COLUMN,
    encode_array,
    encode_long,
    encode_string,
    encoders,
    groups,
)
from connector.core.ticks.frame import MAX_WIDTH, MIN_WIDTH, WireRecord
from connector.core.ticks.run import Run

SINGLE_OBJECT_MARK = b"\xc3\x01"  # Avro specification, single-object encoding
REGISTRY_MARK = b"\x00"  # Confluent's wire format: this byte, a 4-byte id, the datum

Source = Literal["ws", "rest", "replay"]

OWN_FIELDS = ("tick_id", "trade_date", "traded_at", "received_at", "source", "extra")  # as TickEncoder orders them

CACHED_TIMES = 1024  # times of day, with their dates

_EPOCH = date(1970, 1, 1)
_ID_LENGTH = b"\x40"  # zigzag(32): Avro writes this length before the 32 digits of a tick_id
_EMPTY_ARRAY = encode_array([])
_isin_of = itemgetter(slice(ISIN_LENGTH))  # from a text that begins with an ISIN


class Tick(NamedTuple):
    """One tick as a Kafka record: its key, its timestamp in ms and its value, framed Avro."""

    isin: str
    timestamp_ms: int
    value: bytes


class Ticks(NamedTuple):
    """The ticks of many records, column by column: each one's `Tick.isin`, and so on."""

    isins: Sequence[str]
    timestamps_ms: Sequence[int]
    values: Sequence[bytes]


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


class TickEncoder:
    """Encodes records as ticks of one schema in one framing, all from one source.

    `source` is `ws` for the live feed, `rest` for KIS's list of trades, `replay` for a recording.
    `begins` are the columns at which the texts of a run have to begin.
    """

    def __init__(self, schema: TickSchema, prefix: bytes, source: Source = "ws") -> None:
        self._prefix = prefix
        self._source = encode_string(source)
        columns = encoders(schema.columns)
        self._encoders = [column.one for column in columns]
        self._groups = groups(columns)
        self.begins = (*(group.begin for group in self._groups), *range(schema.width, MAX_WIDTH))
        self._names = names = [column["name"] for column in schema.columns]
        self._are_texts = [column["type"] == ["null", "string"] for column in schema.columns]
        self._isin, self._time = names.index(ISIN_COLUMN), names.index(TIME_COLUMN)
        self._width = schema.width
        self._traded: dict[str, _Traded] = {}
        self._latest = Origin(-1, b"")

    def origin(self, received_ms: int) -> Origin:
        """Return what all ticks of a frame share."""
        if received_ms != self._latest.received_ms:
            self._latest = Origin(received_ms, encode_long(received_ms) + self._source)
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
        extra = _EMPTY_ARRAY if padding >= 0 else encode_array(columns[self._width :])
        parts = (self._prefix, head, _ID_LENGTH, tick_id(traded.identity, raw), traded.encoded, origin.encoded, extra)
        return Tick(columns[self._isin], min(traded.at_ms, received_ms), b"".join(parts))

    def encode_run(self, run: Run, received_ms: Sequence[int]) -> Ticks | None:
        """Return the ticks that `encode` makes of the records, or None if it has to encode them.

        The run was split at `begins`. `received_ms` has the receive time of each record. Never
        raises.
        """
        texts = run.texts
        added = [texts[column] for column in range(self._width, run.width)]
        try:
            traded = self._dated(texts[self._time], min(received_ms), max(received_ms))
            day, *other_days = {one.trade_date: one.identity for one in traded.values()}.values()
            if other_days:
                return None
            heads = [
                group.many(texts[group.begin]) if group.begin < run.width else repeat(group.one(""))
                for group in self._groups
            ]
            origins = {ms: self.origin(ms).encoded for ms in set(received_ms)}
            parts = (
                repeat(self._prefix),
                *heads,
                repeat(_ID_LENGTH),
                tick_ids(day, run.raws),
                [traded[text].encoded for text in texts[self._time]],
                [origins[ms] for ms in received_ms],
                map(encode_array, zip(*added, strict=True)) if added else repeat(_EMPTY_ARRAY),
            )
            values = list(map(b"".join, zip(*parts, strict=False)))  # a `repeat` has no end
        except ValueError:
            return None
        times = map(min, [traded[text].at_ms for text in texts[self._time]], received_ms)
        return Ticks(list(map(_isin_of, texts[self._isin])), list(times), values)

    def _dated(self, times: Sequence[str], earliest_ms: int, latest_ms: int) -> "dict[str, _Traded]":
        """Return the date of each time of day, for records received between the two times.

        Raises ValueError if a time is bad, or if not all of its records have the same date.
        """
        dated = {}
        for text in set(times):
            traded = self._traded.get(text)
            if traded is None or not traded.since_ms <= earliest_ms < traded.until_ms:
                traded = self._date_time(text, earliest_ms)
            if latest_ms >= traded.until_ms:
                raise ValueError("midnight")
            dated[text] = traded
        return dated

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
        trade_date, at_ms = moment(time_of_day_ms(text), received_ms)
        since_ms = at_ms - CLOCK_ALLOWANCE_MS
        day = identity(_EPOCH + timedelta(days=trade_date))
        encoded = encode_long(trade_date) + encode_long(at_ms)
        traded = self._traded[text] = _Traded(since_ms, since_ms + DAY_MS, at_ms, trade_date, day, encoded)
        return traded


class _Traded(NamedTuple):
    """A time of day and its date, if `since_ms` <= receive time < `until_ms`."""

    since_ms: int
    until_ms: int
    at_ms: int
    trade_date: int
    identity: Identity
    encoded: bytes


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
