"""Reads from a record of the tick topic only the fields that coverage needs.

Both framings are read, and ticks of other versions of the schema, by Avro's schema resolution.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from fastavro import parse_schema, schemaless_reader
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form

from connector.core.bonds.isin import has_shape
from connector.core.coverage.dates import FIRST_DATE, LAST_DATE, is_plausible_ms
from connector.core.coverage.readable import LONGEST_TEXT
from connector.core.coverage.tick import Tick, Trade
from connector.core.ticks.avro import REGISTRY_MARK, SINGLE_OBJECT_MARK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FIELDS: Final = ("STND_ISCD", "CNTG_VOL", "ACML_VOL", "tick_id", "trade_date", "traded_at", "received_at", "source")

_EPOCH: Final = date(1970, 1, 1)
_FIRST_DAY, _LAST_DAY = (FIRST_DATE - _EPOCH).days, (LAST_DATE - _EPOCH).days
_MOST_SLOT: Final = 100_000


class UnreadableTick(ValueError):
    """The value is not a tick that we can read; the text says why."""


class UnknownSchema(LookupError):
    """The value names an id of the registry whose schema we have not asked for yet."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"schema id {schema_id}")
        self.schema_id = schema_id


class TickValues:
    """Reads values of the schemas it was given."""

    def __init__(self, schemas: Sequence[str], *, asks_registry: bool) -> None:
        """Take the schemas as JSON texts, our own first.

        Without `asks_registry`, every id of a registry counts as that of our own schema.
        """
        self._reader = _projection(schemas[0])
        self._writers: dict[bytes, Any] = {}
        for text in schemas:
            crc = fingerprint(to_parsing_canonical_form(json.loads(text)), "CRC-64-AVRO")
            self._writers[bytes.fromhex(crc)] = _writer(text)
        self._by_id: dict[int, Any] = {}
        self._own = None if asks_registry else _writer(schemas[0])

    def add(self, schema_id: int, text: str | None) -> None:
        """Remember the schema of an id of the registry; None if the registry has no such id."""
        try:
            self._by_id[schema_id] = None if text is None else _writer(text)
        except (SchemaParseException, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self._by_id[schema_id] = None

    def read(
        self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]], partition: int, offset: int
    ) -> Tick:
        """Return the tick of one record. Raises UnreadableTick and UnknownSchema."""
        writer, buffer = self._opened(value or b"")
        try:
            fields: Any = schemaless_reader(buffer, writer, self._reader)
        except Exception as error:  # noqa: BLE001 - foreign bytes under a foreign schema: fastavro raises anything
            raise UnreadableTick(f"the value does not fit its schema: {type(error).__name__}") from None
        day = fields["trade_date"]
        if not _FIRST_DAY <= day <= _LAST_DAY:
            raise UnreadableTick(f"the trade date is {day} days after 1970")
        isin, source, traded = fields["STND_ISCD"], fields["source"], fields["traded_at"]
        if not has_shape(isin):
            raise UnreadableTick("STND_ISCD does not have the shape of an ISIN")
        slot = _slot(headers) if source != "rest" else None
        seen = fields["received_at"] if source != "rest" else traded
        if not (is_plausible_ms(traded) and is_plausible_ms(seen)):
            raise UnreadableTick(f"its times are {traded} and {seen} ms after 1970")
        if len(fields["tick_id"]) > LONGEST_TEXT:
            raise UnreadableTick(f"its tick_id has more than {LONGEST_TEXT} characters")
        trade = Trade(traded, fields["tick_id"], seen, slot)
        volume, accumulated = fields["CNTG_VOL"], fields["ACML_VOL"]
        if accumulated < 0:
            raise UnreadableTick(f"the day's volume is {accumulated}")
        return Tick(isin, _EPOCH + timedelta(days=day), volume, accumulated, trade, source, partition, offset)

    def _opened(self, value: bytes) -> tuple[Any, BytesIO]:
        """Return the schema with which the value was written, and its datum."""
        if value[:2] == SINGLE_OBJECT_MARK and len(value) > 10:
            writer, start = self._writers.get(value[2:10]), 10
        elif value[:1] == REGISTRY_MARK and len(value) > 5:
            schema_id, start = int.from_bytes(value[1:5], "big"), 5
            if self._own is not None:
                writer = self._own
            elif schema_id in self._by_id:
                writer = self._by_id[schema_id]
            else:
                raise UnknownSchema(schema_id)
        else:
            raise UnreadableTick("neither single-object encoding (0xC3 0x01) nor a registry's framing (0x00)")
        if writer is None:
            raise UnreadableTick("the value names a schema that is not known")
        return writer, BytesIO(value[start:])


def _slot(headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    for name, value in headers:
        if name == "slot" and value is not None and value.isdigit() and len(value) < 7:
            return int(value) if int(value) < _MOST_SLOT else None
    return None


def _projection(text: str) -> Any:
    schema = json.loads(text)
    wanted = [_without_meaning(field) for field in schema["fields"] if field["name"] in FIELDS]
    return parse_schema({**schema, "fields": wanted})


def _writer(text: str) -> Any:
    schema = json.loads(text)
    return parse_schema({**schema, "fields": [_without_meaning(field) for field in schema["fields"]]})


def _without_meaning(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return a field without its logical type: numbers are quicker to read than dates."""
    kind = field["type"]
    bare = kind["type"] if isinstance(kind, dict) and "logicalType" in kind else kind
    return {**{name: value for name, value in field.items() if name in ("name", "default")}, "type": bare}
