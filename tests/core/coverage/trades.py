"""Ticks of one bond on one date, for the tests of coverage."""

import json
from datetime import UTC, date, datetime
from itertools import count

from connector.core.coverage.day import Day
from connector.core.coverage.facts import Facts
from connector.core.coverage.record import encode
from connector.core.coverage.tick import Tick, Trade

ISIN = "KR103502GA34"
FRIDAY = date(2026, 9, 11)
MONDAY = date(2026, 9, 14)
_offsets = count(1000)  # above those that tests give


def at(text, day=FRIDAY):
    """Return a time in Seoul, `HH:MM` or `HH:MM:SS`, in milliseconds."""
    seoul = datetime.fromisoformat(f"{day.isoformat()}T{text}+09:00")
    return int(seoul.astimezone(UTC).timestamp() * 1000)


def is_weekday(day):
    """Return whether a date is a trading day in the tests' calendar, which has no holidays."""
    return day.weekday() < 5


def trade(seen="10:00", tick_id=None, slot=0, day=FRIDAY):
    """Return a trade received at a time in Seoul."""
    ms = at(seen, day)
    return Trade(ms, tick_id or f"id-{seen}", ms, slot)


def tick(low, high, seen="10:00", *, source="ws", slot=0, day=FRIDAY, offset=None, volume=None):
    """Return the tick that covers (low, high]. Offsets ascend from call to call."""
    return Tick(
        ISIN,
        day,
        high - low if volume is None else volume,
        high,
        trade(seen, f"{low}-{high}", slot, day),
        source,
        3,
        next(_offsets) if offset is None else offset,
    )


def value(**changed):
    """Return the value of a record with the hole (10, 30], as JSON reads it, with other fields."""
    day = Day(ISIN, FRIDAY, is_trading_day=True)
    for each in (tick(0, 10, offset=1), tick(30, 40, offset=2)):
        day.add(each, at("10:00"))
    day.settle(at("12:00"), 5000, Facts())
    return json.loads(encode(day)[1]) | changed
