"""Which bond KIS's REST calls are asked about, and when.

A bond is asked about after an interruption of its session, after a long silence in market hours,
and after the market closed. Each time takes two readings, because a reading has no time.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from connector.core.market_calendar import CLOSES_AT, OPENS_AT
from connector.core.seoul_time import SEOUL

if TYPE_CHECKING:
    from collections.abc import Collection

READINGS: Final = 2
APART_MS: Final = 61_000  # after the close, two readings a minute apart are compared
SILENT_MS: Final = 30 * 60_000
AFTER_FAILURE_MS: Final = 10_000
AFTER_CLOSE_MS: Final = 10 * 60_000  # between two pairs of readings after the close


class _Series(NamedTuple):
    due_ms: int
    left: int


class Asking:
    """The readings that are due. Times are milliseconds since 1970."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._asked_ms: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """The number of bonds with a reading to come."""
        return len(self._series)

    def interrupted(self, isin: str, now_ms: int) -> None:
        """Ask about a bond whose session was interrupted: twice from now on."""
        self._series[isin] = _Series(now_ms, READINGS)

    def look_at(self, isin: str, now_ms: int, last_tick_ms: int, *, is_over: bool) -> None:
        """Ask about a bond that has long been silent, or whose day is over but not checked."""
        if isin in self._series:
            return
        asked_ms = self._asked_ms.get(isin, 0)
        if is_over:
            is_due = now_ms - asked_ms >= AFTER_CLOSE_MS
        else:
            is_due = is_open(now_ms) and now_ms - max(asked_ms, last_tick_ms) >= SILENT_MS
        if is_due:
            self._series[isin] = _Series(now_ms, READINGS)

    def next(self, now_ms: int) -> str | None:
        """Return the bond whose reading has been due longest, or None if none is due."""
        due = min(self._series.items(), key=lambda each: each[1].due_ms, default=None)
        return due[0] if due is not None and due[1].due_ms <= now_ms else None

    def answered(self, isin: str, now_ms: int, *, is_failed: bool) -> None:
        """Note the answer for a bond; a failed call is repeated later."""
        series = self._series.get(isin)
        if series is None:
            return
        if is_failed:
            self._series[isin] = _Series(now_ms + AFTER_FAILURE_MS, series.left)
        elif series.left > 1:
            self._series[isin] = _Series(now_ms + APART_MS, series.left - 1)
        else:
            del self._series[isin]
            self._asked_ms[isin] = now_ms

    def keep(self, isins: Collection[str]) -> None:
        """Forget the bonds that are not among these."""
        for isin in self._series.keys() - set(isins):
            del self._series[isin]
        for isin in self._asked_ms.keys() - set(isins):
            del self._asked_ms[isin]


def is_open(now_ms: int) -> bool:
    """Return whether the market trades at this time of the day in Seoul."""
    return OPENS_AT <= datetime.fromtimestamp(now_ms / 1000, SEOUL).time() < CLOSES_AT
