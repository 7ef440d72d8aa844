"""Reads a record into the dict that fastavro writes, as a straightforward program would."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from connector.packaged_files import bond_tick

SCHEMA = json.loads(bond_tick())
WIDTH = 19
SEOUL = timezone(timedelta(hours=9))


def _reader(avro_type: Any) -> Callable[[str], Any]:
    match avro_type:
        case list():
            read = _reader(avro_type[1])
            return lambda text: read(text) if text else None
        case "string":
            return str
        case "long":
            return int
        case _:
            return Decimal


READERS = [(field["name"], _reader(field["type"])) for field in SCHEMA["fields"][:WIDTH]]


def received_at(received_ns: int) -> datetime:
    """Return a receive time as the Seoul time that the dates of ticks follow."""
    return datetime.fromtimestamp(received_ns / 1e9, SEOUL)


def split(text: str) -> list[list[str]]:
    """Return the columns of each record of a data frame."""
    _, _, count, payload = text.split("|", 3)
    columns = payload.split("^")
    return [columns[index * WIDTH : index * WIDTH + WIDTH] for index in range(int(count))]


def plain_tick(columns: list[str], received: datetime) -> dict[str, Any]:
    """Return one tick with today's date; it gets no identity."""
    tick = {name: read(text) for (name, read), text in zip(READERS, columns, strict=True)}
    hour = tick["STCK_CNTG_HOUR"]
    traded = received.replace(hour=int(hour[:2]), minute=int(hour[2:4]), second=int(hour[4:]), microsecond=0)
    return tick | {
        "tick_id": "",
        "trade_date": traded.date(),
        "traded_at": traded,
        "received_at": received,
        "source": "ws",
        "extra": [],
    }


def headers(received_ns: int) -> list[tuple[str, bytes]]:
    """Return the headers that the connector gives each record."""
    return [("received-ns", b"%d" % received_ns), ("slot", b"0"), ("schema", b"0123456789abcdef")]
