"""The days of the bonds in one partition of the tick topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.core.coverage import dates
from connector.core.coverage.announcement import Announcement, announcements
from connector.core.coverage.day import Day
from connector.core.coverage.readable import PIECE_BYTES
from connector.core.coverage.record import NotACoverageRecord, decode, split_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from connector.core.coverage.dates import IsTradingDay
    from connector.core.coverage.day import Doubt
    from connector.core.coverage.facts import Facts
    from connector.core.coverage.partition_counts import PartitionCounts
    from connector.core.coverage.tick import Tick

# Of the records that were read back: anyone may have written some of them. Two days of 20,000 bonds
# have 25 MiB; the rest is for holes.
MOST_BYTES: Final = 128 * 2**20


class Book:
    """`days` are those in memory. Before `add`, a day that `was_forgotten` has to be read back.

    What is read back has at most `most_bytes`; a piece of a hole counts as PIECE_BYTES more than
    its text.
    """

    def __init__(self, is_trading_day: IsTradingDay, most_bytes: int = MOST_BYTES) -> None:
        self._is_trading_day = is_trading_day
        self._most_bytes = most_bytes
        self._bytes = 0
        self._sizes: dict[tuple[str, date], int] = {}
        self.days: dict[tuple[str, date], Day] = {}
        self._doubts: dict[date, Doubt] = {}
        self._ticks_before: dict[tuple[str, date], int] = {}

    def restore(self, key: bytes, value: bytes, headers: Mapping[str, bytes], now_ms: int) -> None:
        """Take in a record of the coverage topic. Raises NotACoverageRecord.

        Of two records under one key the one with the lower offset is ignored: a member that had
        lost the partition wrote it.
        """
        day = decode(key, value, headers, now_ms, self._is_trading_day)
        place = day.isin, day.trade_date
        if day.trade_date > dates.latest_date(now_ms):
            raise NotACoverageRecord(f"the date {day.trade_date} is yet to come")
        known = self.days.get(place)
        if known is not None and not _is_not_older(day, known):
            return
        size = len(value) + PIECE_BYTES * len(day.stretches.missing)
        if self._bytes + size - self._sizes.get(place, 0) > self._most_bytes:
            raise NotACoverageRecord(f"the records before it have {self._most_bytes} bytes, the most there can be")
        self.remove(*place)
        self.days[place], self._sizes[place] = day, size
        self._bytes += size

    def remove(self, isin: str, trade_date: date) -> None:
        """Drop a day from memory, if it is there."""
        self.days.pop((isin, trade_date), None)
        self._bytes -= self._sizes.pop((isin, trade_date), 0)

    def resume(self, key: bytes, value: bytes, headers: Mapping[str, bytes], now_ms: int) -> None:
        """Take in a record at the start. Raises NotACoverageRecord.

        A day whose time is over is not kept, unless it has something left to announce.
        """
        isin, trade_date = split_key(key.decode(errors="replace"))
        self.restore(key, value, headers, now_ms)
        if self._is_finished(self.days[isin, trade_date], now_ms):
            self.remove(isin, trade_date)

    def was_forgotten(self, isin: str, trade_date: date, now_ms: int) -> bool:
        """Return whether the day is not in memory because its time is over."""
        return (isin, trade_date) not in self.days and now_ms >= dates.forgotten_ms(trade_date, self._is_trading_day)

    def day(self, isin: str, trade_date: date) -> Day:
        """Return a day, a new one if there is none in memory."""
        found = self.days.get((isin, trade_date))
        if found is None:
            found = Day(isin, trade_date, is_trading_day=self._is_trading_day(trade_date))
            found.doubt = self._doubts.get(trade_date)
            self.days[isin, trade_date] = found
        return found

    def next_offset(self, partition: int) -> int:
        """Return the offset after the last tick of a partition in any day, 0 without any."""
        return 1 + max((day.offsets.get(partition, -1) for day in self.days.values()), default=-1)

    def forget_offsets(self, partition: int) -> None:
        """Count every tick of the partition from now on, because its offsets began again."""
        for day in self.days.values():
            day.offsets.pop(partition, None)

    def add(self, tick: Tick, now_ms: int) -> str:
        """Add a tick to its day and return what that changed."""
        day = self.days.get((tick.isin, tick.trade_date))
        return (day or self.day(tick.isin, tick.trade_date)).add(tick, now_ms)

    def doubt(self, trade_date: date, reason: Doubt) -> None:
        """Record that nothing can be proven for the date, for any bond of this partition."""
        self._doubts[trade_date] = reason
        for day in self.days.values():
            if day.trade_date == trade_date:
                day.cast_doubt(reason)

    def doubt_moved(self, counts: PartitionCounts) -> None:
        """Mark the days of which another partition holds ticks, because the connector said so."""
        for (isin, trade_date), day in self.days.items():
            if day.doubt is None and counts.has_moved(isin, trade_date):
                day.cast_doubt("partitions")

    def settle(self, now_ms: int, wait_ms: int, facts: Facts) -> None:
        """Give new holes that have stood for `wait_ms` their ids, and holes their causes."""
        for day in self.days.values():
            if day.stretches.missing or day.holes:
                day.settle(now_ms, wait_ms, facts)

    def changed(self) -> Iterator[Day]:
        """Yield the days whose record is not up to date."""
        return (day for day in self.days.values() if day.is_changed)

    def announcements(self, now_ms: int) -> Iterator[tuple[Day, Announcement]]:
        """Yield what has to be announced: of today and of the trading day before, no older date."""
        at = dates.rfc3339(now_ms)
        for day in self.days.values():
            if day.holes and dates.has_events(day.trade_date, now_ms, self._is_trading_day):
                for each in announcements(day, at):
                    yield day, each

    def forget(self, now_ms: int) -> None:
        """Drop days that are finished, whose record is up to date, and that got no tick meanwhile.

        "Meanwhile" is since the last call, so that a replay of an old date need not be read back
        again and again.
        """
        over = {key: day for key, day in self.days.items() if not day.is_changed and self._is_finished(day, now_ms)}
        for key, day in over.items():
            if self._ticks_before.get(key) == day.ticks:
                self.remove(*key)
        self._ticks_before = {key: day.ticks for key, day in over.items() if key in self.days}

    def _is_finished(self, day: Day, now_ms: int) -> bool:
        """Return whether a day's time is over and all its holes are announced."""
        if now_ms < dates.forgotten_ms(day.trade_date, self._is_trading_day) or day.is_waiting:
            return False
        is_told = next(day.unannounced(), None) is None
        return is_told or not dates.has_events(day.trade_date, now_ms, self._is_trading_day)


def doubt_divided(books: Iterable[Book]) -> None:
    """Mark the days of which two partitions hold ticks: neither book knows the whole day.

    It happens to a bond whose partition changed on that date, because the tick topic grew. Bonds
    that kept their partition, and other dates, lose nothing by that.
    """
    found: dict[tuple[str, date], Day] = {}
    for book in books:
        for key, day in book.days.items():
            other = found.setdefault(key, day)
            if other is not day:
                other.cast_doubt("partitions")
                day.cast_doubt("partitions")


def _is_not_older(day: Day, known: Day) -> bool:
    return all(day.offsets.get(partition, -1) >= offset for partition, offset in known.offsets.items())
