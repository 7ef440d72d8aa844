"""The times of a trade date in Seoul: when it is over, when it leaves memory, who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from connector.core.seoul_time import SEOUL

OPENS: Final = time(9, 0, tzinfo=SEOUL)
OVER: Final = time(15, 35, tzinfo=SEOUL)  # trading ends at 15:30; the rest is for the last ticks

# Records and ticks of other dates are foreign. Between these, every time can be shown in any zone.
FIRST_DATE: Final = date(2000, 1, 1)
LAST_DATE: Final = date(2199, 12, 31)

# Whether the Korea Exchange is open on a date.
IsTradingDay = Callable[[date], bool]
_LONGEST_CLOSURE: Final = 30  # days; a calendar that names no trading day must not hang anybody


def seoul_date(now_ms: int) -> date:
    """Return the date in Seoul."""
    return datetime.fromtimestamp(now_ms / 1000, SEOUL).date()


def latest_date(now_ms: int) -> date:
    """Return the latest date of a trade: the day after today, because clocks differ."""
    return seoul_date(now_ms) + timedelta(days=1)


def start_ms(trade_date: date) -> int:
    """Return when the date began in Seoul."""
    return _ms(trade_date, time(0, 0, tzinfo=SEOUL))


def opens_ms(trade_date: date) -> int:
    """Return from when on anything can be traded on the date."""
    return _ms(trade_date, OPENS)


def over_ms(trade_date: date) -> int:
    """Return from when on nothing more is traded on the date."""
    return _ms(trade_date, OVER)


def forgotten_ms(trade_date: date, is_trading_day: IsTradingDay) -> int:
    """Return when the date leaves memory: the next trading day at 09:00."""
    return _ms(_nearest(trade_date, 1, is_trading_day), OPENS)


def has_events(trade_date: date, now_ms: int, is_trading_day: IsTradingDay) -> bool:
    """Return whether holes of the date are announced: of today and of the trading day before."""
    today = seoul_date(now_ms)
    return _nearest(today, -1, is_trading_day) <= trade_date <= today


def rfc3339(at_ms: int) -> str:
    """Return a time as records show it: RFC 3339 in UTC."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC).replace(microsecond=at_ms % 1000 * 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parsed_ms(text: object) -> int | None:
    """Return a time in RFC 3339 as milliseconds, None if it is none or in no plausible year."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if at is None or at.tzinfo is None or not FIRST_DATE <= at.date() <= LAST_DATE:
        return None
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def is_plausible_ms(at_ms: object) -> bool:
    """Return whether a value from outside is a time between the first and the last date."""
    return type(at_ms) is int and _FIRST_MS <= at_ms < _END_MS


def _nearest(trade_date: date, step: int, is_trading_day: IsTradingDay) -> date:
    """Return the nearest trading day after (step 1) or before (step -1) the date."""
    for days in range(1, _LONGEST_CLOSURE):
        if is_trading_day(found := trade_date + timedelta(days=step * days)):
            return found
    return trade_date + timedelta(days=step)


def _ms(day: date, at: time) -> int:
    return int(datetime.combine(day, at).timestamp()) * 1000


_FIRST_MS: Final = start_ms(FIRST_DATE)
_END_MS: Final = start_ms(LAST_DATE)
