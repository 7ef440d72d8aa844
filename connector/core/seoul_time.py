"""Seoul's time zone, and times as people see them: month, day and time of day there."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

SEOUL: Final = timezone(timedelta(hours=9))  # Asia/Seoul has no daylight saving since 1988-10-09


def date_and_clock(at: datetime) -> str:
    """Return a time such as `11-29 16:08:05`, or `-` if no calendar reaches it."""
    return _shown(at, "%m-%d %H:%M:%S")


def of_epoch(seconds: float) -> str:
    """Return seconds since 1970 as `date_and_clock` does."""
    try:
        return date_and_clock(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return "-"


def clock(at: datetime) -> str:
    """Return a time such as `16:08:05`, or `-` likewise."""
    return _shown(at, "%H:%M:%S")


def of_rfc3339(text: str | None) -> str:
    """Return a record's time as `date_and_clock` does: `-` for None, other text as it stands."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return text or "-"
    return text if at.tzinfo is None and text else date_and_clock(at)


def _shown(at: datetime, form: str) -> str:
    try:
        return at.astimezone(SEOUL).strftime(form)
    except OverflowError:
        return "-"
