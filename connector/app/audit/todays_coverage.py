"""Sums up what the auditor knows of today, while its other tasks have their turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.app.audit.auditor import now_ms
from connector.core.coverage.dates import seoul_date
from connector.core.coverage.record import value_of
from connector.core.coverage.shown import shown_day
from connector.shell.kafka.waiting import in_turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from connector.app.audit.auditor import Auditor
    from connector.core.coverage.day import Day


class TodaysCoverage:
    """`coverage` has the sums as of the last `look`."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self.coverage: dict[str, Any] = {}

    async def look(self) -> dict[str, Any]:
        """Return the parts `coverage` and `days` of the status."""
        today = seoul_date(now_ms())
        found = {day.isin: day for day in days(self._auditor, today)}  # a bond may be in two partitions
        shown = await in_turns(shown_day(today, ((isin, value_of(day)) for isin, day in found.items())))
        self.coverage = shown["coverage"]
        return shown


def days(auditor: Auditor, trade_date: date) -> Iterator[Day]:
    """Yield every day in memory that has this date."""
    for audited in list(auditor.partitions.values()):
        for day in list(audited.book.days.values()):
            if day.trade_date == trade_date:
                yield day
