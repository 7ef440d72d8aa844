"""What REST says of one bond: its volume now, and its latest trades.

`inquire-price` has no time, so one reading proves little: a trade may have happened meanwhile. Two
readings are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from connector.core.coverage.dates import seoul_date
from connector.core.seoul_time import SEOUL

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTLED_MS: Final = 30_000  # by then a tick of the first reading has gone through the topic
CLOCKS_DIFFER_MS: Final = 60_000
AGREED_MS: Final = 60_000  # two equal readings so far apart after the close are the day's volume


class Total(NamedTuple):
    """The accumulated volume as `inquire-price` gave it at a time."""

    at_ms: int
    volume: int


class RestTrade(NamedTuple):
    """One trade of `inquire-ccnl`. `time` is HHMMSS and `price` the text as KIS sent it."""

    time: str
    price: str
    volume: int
    accumulated: int


@dataclass(slots=True)
class Totals:
    """The two latest readings of `inquire-price`."""

    earlier: Total | None = None
    later: Total | None = None

    def add(self, total: Total) -> None:
        """Remember a reading. One that is no later than the last is ignored."""
        if self.later is None or total.at_ms > self.later.at_ms:
            self.earlier, self.later = self.later, total

    def reached(self, now_ms: int) -> int | None:
        """Return the volume that the ticks must have reached by now, None if it is not known yet.

        It is the earlier reading's volume, once that is old enough for its ticks to have come.
        """
        if self.earlier is None or now_ms - self.earlier.at_ms < SETTLED_MS:
            return None
        return self.earlier.volume

    def final(self, closed_ms: int) -> Total | None:
        """Return the day's volume if both readings were made after `closed_ms` and agree."""
        if self.earlier is None or self.later is None or self.earlier.at_ms < closed_ms:
            return None
        agree = self.earlier.volume == self.later.volume and self.later.at_ms - self.earlier.at_ms >= AGREED_MS
        return self.later if agree else None


def are_of_today(trades: Sequence[RestTrade], now_ms: int) -> bool:
    """Return whether no trade is later than the present time, as trades of an earlier day may be.

    The list has times without a date. In the morning it may still be that of the day before.
    """
    latest = datetime.fromtimestamp((now_ms + CLOCKS_DIFFER_MS) / 1000, SEOUL)
    is_next_day = latest.date() > seoul_date(now_ms)
    return is_next_day or all(each.time <= latest.strftime("%H%M%S") for each in trades)


def within(trades: Sequence[RestTrade], low: int, high: int) -> list[RestTrade]:
    """Return the trades that lie in (low, high], by accumulated volume."""
    inside = [
        each for each in trades if each.volume > 0 and low <= each.accumulated - each.volume < each.accumulated <= high
    ]
    return sorted(inside, key=lambda each: each.accumulated)


def are_neighbours(trades: Sequence[RestTrade], low: int, high: int) -> bool:
    """Return whether KIS lists the trades on both sides of (low, high] side by side.

    KIS then counted volume between them for which there was no trade.
    """
    ordered = sorted(trades, key=lambda each: each.accumulated)
    pairs = pairwise(ordered)
    return any(left.accumulated == low and right.accumulated - right.volume == high for left, right in pairs)


def reaches(trades: Sequence[RestTrade], high: int) -> bool:
    """Return whether the trades were read after the day's volume had reached `high`."""
    return any(each.accumulated >= high for each in trades)
