"""The coverage of one bond on one date: its counts, its holes, and its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from connector.core.coverage import law, readings
from connector.core.coverage.hole import FILLED_BY, NO_TRADE, NOT_WANTED, UNKNOWN, Hole, hole_id
from connector.core.coverage.stretches import FILLED, OVERLAPPED, REPEATED, Stretches
from connector.core.coverage.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from connector.core.coverage.facts import Facts
    from connector.core.coverage.readings import RestTrade, Total
    from connector.core.coverage.tick import Tick, Trade

State = Literal["OPEN", "HOLES", "COMPLETE", "UNPROVEN"]
Doubt = Literal["deleted", "partitions"]
Reason = Literal["law", "taken_back", "no_ticks"] | Doubt
SKIPPED: Final = "skipped"  # the record holds the tick already
IRREGULAR: Final = "irregular"  # counted, but it proves nothing about volume

# Holes and stretches of one bond and date, and the pieces into which ticks cut announced holes. A
# record of so many still fits into 1 MiB; what is missing beyond them is counted in one sum.
MOST_HOLES: Final = 1_000
MOST_PIECES: Final = 2_000


class Checked(NamedTuple):
    """With which day's volume the covered volume was compared, when, and who said so."""

    at_ms: int
    accumulated: int
    by: Literal["rest", "ticks"]


class Day:
    """Add ticks with `add`; `settle` gives holes their ids and causes.

    `is_changed` is true until a record has it all. `broken` counts pairs of neighbours that no loss
    explains. `unlisted` is missing volume beyond MOST_HOLES and MOST_PIECES. `doubt` is why the day
    cannot be proven, if what happened to the tick topic says so. `lacks_ticks` is true if the day
    ended without a tick, and REST did not say 0. `offsets` has the offset of the last tick by
    partition of the tick topic. A date on which the exchange is closed only counts its ticks.
    """

    def __init__(self, isin: str, trade_date: date, *, is_trading_day: bool) -> None:
        self.isin, self.trade_date, self.is_trading_day = isin, trade_date, is_trading_day
        self.ticks = self.repeats = self.irregular = self.broken = self.unlisted = 0
        self.stretches = Stretches()
        self.holes: list[Hole] = []
        self.totals = readings.Totals()
        self.checked: Checked | None = None
        self.doubt: Doubt | None = None
        self.is_taken_back = self.lacks_ticks = False
        self.offsets: dict[int, int] = {}
        self.is_changed = True
        self._known_facts = -1  # the version of the facts that the causes rest on

    def add(self, tick: Tick, now_ms: int) -> str:
        """Count a tick, cover its interval, and return what that changed."""
        if tick.offset <= self.offsets.get(tick.partition, -1):
            return SKIPPED
        self.offsets[tick.partition] = tick.offset
        self.is_changed = True
        self.ticks += 1
        high = tick.accumulated
        low = high - tick.volume
        if tick.volume <= 0 or low < 0 or not self.is_trading_day:
            return self._irregular(tick, now_ms)
        slot = self.stretches.last.slot if self.stretches.last is not None else None
        change = self._cover(low, high, tick.trade, now_ms)
        if change is REPEATED:
            self.repeats += 1
        elif change is OVERLAPPED:
            self.irregular += 1
            self.broken += slot is not None and slot == tick.trade.slot
        if change is FILLED or change is OVERLAPPED:
            self._close_filled(tick.source)
        return change

    def _irregular(self, tick: Tick, now_ms: int) -> str:
        self.irregular += 1
        if not self.is_trading_day:
            return IRREGULAR
        if tick.accumulated < tick.volume:
            self.broken += 1
            self.stretches.add(0, tick.accumulated, tick.trade, now_ms)
            self._close_filled(tick.source)
        elif tick.accumulated > self.stretches.top:
            self._cover(tick.accumulated, tick.accumulated, tick.trade, now_ms)
        return IRREGULAR

    def _cover(self, low: int, high: int, trade: Trade, now_ms: int) -> str:
        if len(self.stretches.missing) + len(self.holes) >= MOST_HOLES:
            self._make_room(low, high)
        return self.stretches.add(low, high, trade, now_ms)

    def _make_room(self, low: int, high: int) -> None:
        """Only count what is missing before (low, high], if that would be one more stretch."""
        cut = self.stretches.around(low, high)
        if low > self.stretches.top:
            self.unlisted += low - self.stretches.top
            self.stretches.top = low
        elif cut is not None and (cut.hole is None or len(self.stretches.missing) >= MOST_PIECES):
            self.unlisted += low - cut.low
            if cut.hole is not None:
                cut.hole.unlisted += low - cut.low
            cut.low = low

    def cast_doubt(self, reason: Doubt) -> None:
        """Record why the day cannot be proven. The first reason stays."""
        if self.doubt is None:
            self.doubt, self.is_changed = reason, True

    def _close_filled(self, source: str) -> None:
        remaining = {id(each.hole) for each in self.stretches.missing if each.hole is not None}
        for hole in self.holes:
            if hole.state != "FILLED" and not hole.unlisted and id(hole) not in remaining:
                hole.state, hole.is_announced = "FILLED", False
                hole.filled_by = FILLED_BY.get(source, "late")

    def remaining(self, hole: Hole) -> list[tuple[int, int]]:
        """Return the stretches of a hole that are still missing."""
        return [(each.low, each.high) for each in self.stretches.missing if each.hole is hole]

    @property
    def accumulated_volume(self) -> int:
        """The highest accumulated volume seen in a tick, or proven by REST."""
        return self.stretches.top

    @property
    def unwanted_volume(self) -> int:
        """Missing volume from before the bond was wanted."""
        missing = self.stretches.missing
        listed = sum(each.high - each.low for each in missing if each.hole and each.hole.cause == NOT_WANTED)
        return listed + sum(hole.unlisted for hole in self.holes if hole.cause == NOT_WANTED)

    @property
    def missing_volume(self) -> int:
        """Missing volume that was wanted."""
        return self.stretches.missing_volume + self.unlisted - self.unwanted_volume

    @property
    def covered_volume(self) -> int:
        """Volume that the ticks account for."""
        return self.stretches.top - self.stretches.missing_volume - self.unlisted

    @property
    def reason(self) -> Reason | None:
        """Why the day proves nothing, None if it does prove what is missing."""
        unexplained = sum(hole.cause == UNKNOWN and hole.state != "FILLED" for hole in self.holes)
        pairs = self.ticks - self.repeats - 1
        if self.unlisted or law.is_broken(pairs, self.broken, unexplained):
            return "law"
        if self.is_taken_back:
            return "taken_back"
        return self.doubt or ("no_ticks" if self.lacks_ticks and not self.ticks else None)

    @property
    def state(self) -> State:
        """The first that applies: UNPROVEN, HOLES, COMPLETE, OPEN."""
        if self.reason is not None:
            return "UNPROVEN"
        if any(hole.state != "FILLED" and hole.cause != NOT_WANTED for hole in self.holes):
            return "HOLES"
        checked = self.checked is not None and self.checked.accumulated == self.accumulated_volume
        return "COMPLETE" if (checked and self.missing_volume == 0) or not self.is_trading_day else "OPEN"

    def settle(self, now_ms: int, wait_ms: int, facts: Facts) -> None:
        """Give holes whose bounds have stood for `wait_ms` their id and cause.

        A hole that nothing explained takes the cause that facts give it later.
        """
        for stretch in self.stretches.missing:
            if stretch.hole is None and now_ms - stretch.since_ms >= wait_ms:
                bounds = (stretch.low, stretch.high)
                name = hole_id(self.isin, self.trade_date, *bounds)
                hole = Hole(name, *bounds, stretch.after, stretch.before, stretch.since_ms, UNKNOWN)
                hole.cause = facts.cause(self._window(hole))
                stretch.hole = hole
                self.holes.append(hole)
                self.is_changed = True
        if facts.version != self._known_facts:
            self._known_facts = facts.version
            for hole in self.holes:
                if hole.cause == UNKNOWN and (cause := facts.cause(self._window(hole))) != UNKNOWN:
                    hole.cause = cause
                    self.is_changed = True

    def _window(self, hole: Hole) -> Window:
        return Window.of(self.isin, self.trade_date, hole)

    @property
    def is_waiting(self) -> bool:
        """Whether a stretch has not stood long enough to be a hole."""
        return any(each.hole is None for each in self.stretches.missing)

    def unannounced(self) -> Iterator[Hole]:
        """Yield the holes whose present state Kafka has no event of."""
        return (hole for hole in self.holes if not hole.is_announced)

    def read_total(self, total: Total, over_ms: int) -> None:
        """Take in a reading of `inquire-price`.

        Two readings after `over_ms` that agree end the day: with COMPLETE if the ticks reached
        them, as taken back if the ticks went beyond them.
        """
        self.totals.add(total)
        if (final := self.totals.final(over_ms)) is None:
            return
        self.is_taken_back = final.volume < self.accumulated_volume
        self.lacks_ticks = self.ticks == 0 and final.volume > 0
        if final.volume == self.accumulated_volume:
            self.checked = Checked(final.at_ms, final.volume, "rest")
        self.is_changed = True

    def reach_total(self, now_ms: int) -> bool:
        """Make a hole at the end if REST had more volume than the ticks reached since.

        Call it only after the topic was read to its end and the slot has nothing pending, both
        30 s or more after the earlier of two readings. Return whether it made a hole.
        """
        volume = self.totals.reached(now_ms)
        if volume is None or volume <= self.stretches.top or not self.is_trading_day:
            return False
        self.stretches.reach(volume, None, now_ms)
        self.is_changed = True
        return True

    def check_by_ticks(self, now_ms: int) -> None:
        """End the day without REST: call it once the date is over and no tick is expected."""
        if self.ticks == 0:
            self.is_changed |= not self.lacks_ticks
            self.lacks_ticks = True
        elif self.checked is None or self.checked.accumulated != self.accumulated_volume:
            self.checked = Checked(now_ms, self.accumulated_volume, "ticks")
            self.is_changed = True

    def read_trades(self, trades: Sequence[RestTrade]) -> list[RestTrade]:
        """Return the trades of `inquire-ccnl` that fill holes; confirm what they cannot fill.

        Call it only when the slot has nothing pending, and only with trades of this date. A hole
        is confirmed once no trade of a reading lies in what remains of it. The trades are in the
        order of their accumulated volume.
        """
        fitting: list[RestTrade] = []
        for hole in self.holes:
            if hole.state != "OPEN" or not readings.reaches(trades, hole.high):
                continue
            inside = [each for low, high in self.remaining(hole) for each in readings.within(trades, low, high)]
            fitting += inside
            if inside or hole.unlisted:
                continue
            hole.state, self.is_changed = "CONFIRMED", True
            if readings.are_neighbours(trades, hole.low, hole.high):
                hole.cause = NO_TRADE
        return fitting
