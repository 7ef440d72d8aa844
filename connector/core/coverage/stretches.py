"""The union of a bond's intervals on a date, kept as the stretches that no interval covers.

Memory is in the number of stretches, not in the number of ticks.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from connector.core.coverage.hole import Hole
    from connector.core.coverage.tick import Trade

EXTENDED: Final = "extended"  # the interval begins where the covered volume ended
JUMPED: Final = "jumped"  # it leaves a new stretch before it
FILLED: Final = "filled"  # it lies in a stretch that was missing
OVERLAPPED: Final = "overlapped"  # part of it was covered already
REPEATED: Final = "repeated"  # all of it was covered already

_low = attrgetter("low")


class Stretch:
    """Volume (low, high] that is not covered, and the trades on both sides.

    `since_ms` is when the bounds last changed. `hole` is the announced hole it belongs to, if any.
    """

    __slots__ = ("after", "before", "high", "hole", "low", "since_ms")

    def __init__(self, low: int, high: int, after: Trade | None, before: Trade | None, since_ms: int) -> None:
        self.low, self.high = low, high
        self.after, self.before = after, before
        self.since_ms = since_ms
        self.hole: Hole | None = None


class Stretches:
    """(0, `top`] is covered except for the stretches in `missing`, which are in ascending order.

    `last` is the trade with the highest accumulated volume.
    """

    __slots__ = ("last", "missing", "top")

    def __init__(self) -> None:
        self.top = 0
        self.last: Trade | None = None
        self.missing: list[Stretch] = []

    @property
    def missing_volume(self) -> int:
        """How much of (0, `top`] is not covered."""
        return sum(each.high - each.low for each in self.missing)

    def add(self, low: int, high: int, trade: Trade, now_ms: int) -> str:
        """Cover (low, high] and return what that changed. An empty interval only moves `top`."""
        if low == self.top:
            if self.missing and self.missing[-1].before is None:
                self.missing[-1].before = trade
            self.top, self.last = high, trade
            return EXTENDED
        if low > self.top:
            self.reach(low, trade, now_ms)
            self.top, self.last = high, trade
            return JUMPED
        return self._fill(low, high, trade, now_ms)

    def around(self, low: int, high: int) -> Stretch | None:
        """Return the stretch that (low, high] would cut in two, None without one."""
        place = bisect_right(self.missing, low, key=_low) - 1
        found = self.missing[place] if place >= 0 else None
        return found if found is not None and found.low < low and high < found.high else None

    def reach(self, high: int, before: Trade | None, now_ms: int) -> None:
        """Record that the day's volume reached `high`, which is above `top`, without covering it.

        `before` is the trade that begins there, None if a reading of REST says so.
        """
        end = self.missing[-1] if self.missing else None
        if end is not None and end.high == self.top:  # the volume up to `top` is known by REST alone
            if end.hole is None:
                end.high, end.before, end.since_ms = high, before, now_ms
                self.top = high
                return
            end.before = before
        self.missing.append(Stretch(self.top, high, self.last, before, now_ms))
        self.top = high

    def _fill(self, low: int, high: int, trade: Trade, now_ms: int) -> str:
        first = max(0, bisect_right(self.missing, low, key=_low) - 1)
        if first < len(self.missing) and self.missing[first].high <= low:
            first += 1
        end, pieces, filled = first, [], 0
        while end < len(self.missing) and self.missing[end].low < high:
            stretch = self.missing[end]
            filled += min(high, stretch.high) - max(low, stretch.low)
            pieces += _cut(stretch, low, high, trade, now_ms)
            end += 1
        filled += max(0, high - self.top)
        if filled == 0:
            return REPEATED
        self.missing[first:end] = pieces
        if high >= self.top:
            self.top, self.last = high, trade
        return FILLED if filled == high - low else OVERLAPPED


def _cut(stretch: Stretch, low: int, high: int, trade: Trade, now_ms: int) -> list[Stretch]:
    """Return what (low, high] leaves of a stretch: at most a piece on each side."""
    pieces = []
    if stretch.low < low:
        pieces.append(Stretch(stretch.low, low, stretch.after, trade, now_ms))
    if stretch.high > high:
        pieces.append(Stretch(high, stretch.high, trade, stretch.before, now_ms))
    for piece in pieces:
        piece.hole = stretch.hole
    return pieces
