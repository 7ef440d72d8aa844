"""The lines that `kis-bond tail` prints for one record: a tick, a dead letter, an event, or raw."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from connector.cli.output import cell, short, to_json
from connector.cli.table import Column, cut, fitted, kept, line
from connector.core import seoul_time
from connector.core.ticks.avro import TickSchema, decode, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_DETAIL: Final = 200
# The columns that have a short name, or more room than their heading, with their width in cells.
# Where there is little room, less of the name is shown, and columns are left out.
_COLUMNS: Final = {
    "traded_at": (Column("traded (KST)", "whole"), 14),
    "received_at": (Column("received (KST)", "whole"), 14),
    "STND_ISCD": (Column("ISIN", "whole"), 12),
    "BOND_ISNM": (Column("name", "cut", turn=4, least=16), 32),
    "STCK_PRPR": (Column("price", "whole", right=True), 10),
    "CNTG_VOL": (Column("volume", "whole", right=True, turn=3), 7),
    "BOND_CNTG_ERT": (Column("yield", "whole", right=True, turn=2), 6),
    "ACML_VOL": (Column("day's volume", "whole", right=True, turn=1), 12),
    "tick_id": (Column("tick_id", "whole"), 32),
}
DEFAULT: Final = ("traded_at", "STND_ISCD", "BOND_ISNM", "STCK_PRPR", "CNTG_VOL", "BOND_CNTG_ERT", "ACML_VOL")


class Lines(Protocol):
    """Makes the lines of one kind of record."""

    heading: str | None

    def text(self, record: Any) -> str:
        """Return a record as a line for people."""
        ...

    def json(self, record: Any) -> str:
        """Return a record as one JSON object."""
        ...


class TickLines:
    """Ticks in columns, as wide as `width` cells.

    `fields` are those that were asked for, all of which are shown; without any, the usual ones as
    far as there is room.
    """

    def __init__(self, schema: TickSchema, fields: Sequence[str], width: int) -> None:
        self._schema = schema
        self._fields = list(fields or DEFAULT)
        if not fields:
            shapes = list(map(_shape, DEFAULT))
            places = kept([column for column, _ in shapes], [cells for _, cells in shapes], width)
            self._fields = [DEFAULT[each] for each in places]
        self._columns, natural = map(list, zip(*map(_shape, self._fields), strict=True))
        self._widths = fitted(self._columns, natural, width)
        self.heading: str | None = line(self._columns, [column.heading for column in self._columns], self._widths)

    def text(self, record: Any) -> str:
        """Return the tick's columns, or where the bad record stands and what is wrong with it."""
        try:
            tick = decode(record.value or b"", self._schema)
        except ValueError as error:
            place = f"{record.partition}:{record.offset}"
            return f"bad record at {place}, key {cell(_key(record) or '-')}: {cell(str(error))}"
        texts = [_cell(tick[each]) for each in self._fields]
        shown = [
            cut(text, width) if column.fit == "cut" else text
            for column, text, width in zip(self._columns, texts, self._widths, strict=True)
        ]
        return line(self._columns, shown, self._widths)

    def json(self, record: Any) -> str:
        """Return every field of the tick, or the place of a bad record and what is wrong."""
        try:
            tick = decode(record.value or b"", self._schema)
        except ValueError as error:
            return to_json(
                {"bad": str(error), "key": _key(record) or "", "partition": record.partition, "offset": record.offset}
            )
        return to_json({name: plain(value) for name, value in tick.items()})


def _shape(field: str) -> tuple[Column, int]:
    """Return a field's column and its width in cells."""
    return _COLUMNS.get(field) or (Column(field, "whole"), max(12, len(field)))


class LetterLines:
    """Dead letters, as `kis-bond dlq ls` shows them."""

    heading: str | None = "published (KST)  place, reason, key, detail"

    def text(self, record: Any) -> str:
        """Return where a letter stands, its reason, key and detail."""
        headers = _headers(record)
        detail = cell(short(headers.get("detail", ""), LONGEST_DETAIL))
        place = f"{record.partition}:{record.offset}"
        reason = cell(headers.get("reason", "-"))
        return f"{_clock(record)}   {place}  {reason}  {cell(_key(record) or '-')}  {detail}".rstrip()

    def json(self, record: Any) -> str:
        """Return the letter whole."""
        return raw_json(record)


class EventLines:
    """Feed events."""

    heading: str | None = None

    def text(self, record: Any) -> str:
        """Return an event's time, name, key and details."""
        event = _object(record)
        if event is None:
            return f"{_clock(record)}  bad record at {record.partition}:{record.offset}"
        detail = event.get("detail")
        shown = (
            "  ".join(f"{name} {_plain(value)}" for name, value in detail.items()) if isinstance(detail, dict) else ""
        )
        name = cell(str(event.get("event", "-")))
        return f"{_clock(record)}  {name}  {cell(_key(record) or '-')}  {cell(short(shown, LONGEST_DETAIL))}".rstrip()

    def json(self, record: Any) -> str:
        """Return the event as it was written, on one line."""
        event = _object(record)
        return raw_json(record) if event is None else to_json(event)


class RawLines:
    """Records as Kafka holds them: place, time, key, headers and value."""

    heading: str | None = None

    def text(self, record: Any) -> str:
        """Return the record as JSON: there is no shorter form of all of it."""
        return raw_json(record)

    def json(self, record: Any) -> str:
        """Return the record as JSON."""
        return raw_json(record)


def raw_json(record: Any) -> str:
    """Return a record as one JSON object.

    Bytes of key and value that are no UTF-8 are in hex, under `…_hex`. Of headers with one name the
    last is shown; in headers, bytes that are no UTF-8 are escapes.
    """
    return to_json(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp,
            **_bytes("key", record.key),
            "headers": _headers(record),
            **_bytes("value", record.value),
        }
    )


def _bytes(name: str, content: bytes | None) -> dict[str, str | None]:
    if content is None:
        return {name: None}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_hex": content.hex()}


def _headers(record: Any) -> dict[str, str]:
    return {name: (content or b"").decode("utf-8", "backslashreplace") for name, content in record.headers}


def _object(record: Any) -> dict[str, Any] | None:
    try:
        found = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _key(record: Any) -> str | None:
    return None if record.key is None else record.key.decode(errors="replace")


def _clock(record: Any) -> str:
    return seoul_time.of_epoch(max(0, record.timestamp) // 1000)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return seoul_time.date_and_clock(value)
    return "-" if value is None else cell(str(plain(value)))
