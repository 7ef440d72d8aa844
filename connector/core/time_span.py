"""Reads the times that a person gives: RFC 3339, or an hour and minute in Seoul."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from connector.core.seoul_time import SEOUL

EXPECTED: Final = "a time, such as 2026-03-02T09:00:00+09:00, or 09:00 in Seoul"
_HOUR_MINUTE: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_RFC_3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """From `from_ns` on, and before `to_ns`; each in ns since the epoch, None if open."""

    from_ns: int | None
    to_ns: int | None

    def __contains__(self, at_ns: object) -> bool:
        return (
            isinstance(at_ns, int)
            and (self.from_ns is None or at_ns >= self.from_ns)
            and (self.to_ns is None or at_ns < self.to_ns)
        )


def span(begin: str | None, end: str | None, day: date) -> Span:
    """Return the span between two times; one without a date is of this Seoul day.

    Raises ValueError with a sentence.
    """
    found = Span(*(None if text is None else to_ns(text, day) for text in (begin, end)))
    if found.from_ns is not None and found.to_ns is not None and found.from_ns >= found.to_ns:
        raise ValueError(f"--from {begin} is not before --to {end}")
    return found


def is_time(text: str) -> bool:
    """Whether a text has the shape of a time."""
    return bool(_HOUR_MINUTE.fullmatch(text) or _RFC_3339.fullmatch(text))


def to_ns(text: str, day: date) -> int:
    """Return the time in ns since the epoch; one without a date is of this Seoul day.

    Raises ValueError with a sentence.
    """
    try:
        return (_moment(text, day) - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!a} is not {EXPECTED}") from None


def _moment(text: str, day: date) -> datetime:
    if _HOUR_MINUTE.fullmatch(text):
        return datetime.combine(day, time.fromisoformat(text), SEOUL)
    if _RFC_3339.fullmatch(text):
        return datetime.fromisoformat(text.upper())
    raise ValueError(text)


def seoul_date(at_ns: int) -> date:
    """Return the date in Seoul at a time in ns since the epoch."""
    return (_EPOCH + timedelta(microseconds=at_ns // 1000)).astimezone(SEOUL).date()
