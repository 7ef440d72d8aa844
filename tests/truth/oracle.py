"""Judges coverage tick by tick, by rules written apart from the auditor's.

It keeps every interval that arrived, and works out what is missing from all of them after each
tick. Slow, but there is little to get wrong.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from tests.truth.world import TODAY, WAIT_MS, is_trading_day, midnight

# The contract's order, for interruptions that began within a second of each other.
LATER = ["dead_letter", "registration_lost", "not_wanted", "not_running", "not_registered"]
BY = {"ws": "late", "rest": "rest", "replay": "replay"}


@dataclass(slots=True)
class Announced:
    """One hole as it has to be reported."""

    low: int
    high: int
    after: str | None
    before: str | None
    cause: str
    candidates: frozenset
    slots: frozenset
    state: str = "OPEN"
    by: str | None = None


@dataclass(slots=True)
class BondDay:
    """All that arrived for one bond and date."""

    isin: str
    day: object
    arrived: dict = field(default_factory=dict)  # (low, high): the first copy
    ticks: int = 0
    repeats: int = 0
    top: int = 0
    since: dict = field(default_factory=dict)  # (low, high): when these bounds were first seen
    holes: list = field(default_factory=list)
    totals: list = field(default_factory=list)

    def missing(self):
        """Return what is missing as maximal (low, high), without regard to announced holes."""
        found, end = [], 0
        for low, high in sorted(self.arrived):
            if low > end:
                found.append((end, low))
            end = max(end, high)
        return [*found, (end, self.top)] if end < self.top else found

    def unannounced(self):
        """Return what is missing outside the announced holes."""
        found = []
        for low, high in self.missing():
            begin = low
            for hole in sorted(self.holes, key=lambda each: each.low):
                if hole.high > begin and hole.low < high:
                    if hole.low > begin:
                        found.append((begin, hole.low))
                    begin = hole.high
            if begin < high:
                found.append((begin, high))
        return found

    def remaining(self, hole):
        """Return what is missing of an announced hole."""
        cut = [(max(low, hole.low), min(high, hole.high)) for low, high in self.missing()]
        return [(low, high) for low, high in cut if low < high]

    def sides(self, low, high):
        """Return the first copies of the trades that end and begin there."""
        after = [copy for (_, end), copy in self.arrived.items() if end == low]
        before = [copy for (begin, _), copy in self.arrived.items() if begin == high]
        return (after or [None])[0], (before or [None])[0]


class Oracle:
    """Hears the same steps as the auditor."""

    def __init__(self, world):
        self.world = world
        self.days = {}

    def day(self, isin, day):
        """Return a bond's day."""
        return self.days.setdefault((isin, day), BondDay(isin, day))

    def arrived(self, now, arrival):
        """Take in one tick."""
        deal = arrival.deal
        if not is_trading_day(deal.day):
            return
        one = self.day(deal.isin, deal.day)
        one.ticks += 1
        if (deal.low, deal.high) in one.arrived:
            one.repeats += 1
            return
        one.arrived[deal.low, deal.high] = arrival
        one.top = max(one.top, deal.high)
        self._look(one, now)
        for hole in one.holes:
            if hole.state != "FILLED" and not one.remaining(hole):
                hole.state, hole.by = "FILLED", BY[arrival.source]

    def _look(self, one, now):
        one.since = {bounds: one.since.get(bounds, now) for bounds in one.unannounced()}

    def settled(self, now):
        """Announce what has stood long enough."""
        for one in self.days.values():
            for bounds, since in list(one.since.items()):
                if now - since >= WAIT_MS:
                    del one.since[bounds]
                    one.holes.append(self._announced(one, bounds, since))

    def _announced(self, one, bounds, since):
        after, before = one.sides(*bounds)
        opens = midnight(one.day) + 9 * 3_600_000
        times = sorted([after.seen_ms if after else opens, before.seen_ms if before else since])
        slots = {side.slot for side in (after, before) if side}
        candidates = [
            each
            for each in self.world.log
            if (each.isin == one.isin if each.isin else each.slot in slots)
            and each.to_ms >= times[0]
            and each.from_ms <= times[1]
        ]
        names = (after and after.deal.tick_id, before and before.deal.tick_id)
        causes = frozenset(each.cause for each in candidates)
        return Announced(*bounds, *names, _nearest(candidates, times[0]), causes, frozenset(slots))

    def restarted(self, now, held):
        """Forget what no record held when the auditor was killed; new bounds stand from now on."""
        for one in self.days.values():
            prefix = f"{one.isin}/{one.day.isoformat()}/"
            if one.day != TODAY and now >= midnight(TODAY) + 9 * 3_600_000:
                continue  # left memory: written before, and read back unchanged
            one.holes = [hole for hole in one.holes if f"{prefix}{hole.low}-{hole.high}" in held]
            one.since = dict.fromkeys(one.unannounced(), now)

    def read_total(self, now, isin, total):
        """Take in a reading of the day's volume; the second one may show a hole at the end."""
        one = self.day(isin, TODAY)
        one.totals.append(total)

    def reached(self, now, isin):
        """Look at the end of the day, after the readings."""
        one = self.day(isin, TODAY)
        one.top = max(one.top, *one.totals)
        self._look(one, now)

    def read_trades(self, now, isin, listed):
        """Confirm the holes of which REST lists no trade."""
        one = self.day(isin, TODAY)
        for hole in one.holes:
            if hole.state != "OPEN" or not any(high >= hole.high for _, high in listed):
                continue
            pieces = one.remaining(hole)
            if any(low >= begin and high <= end for low, high in listed for begin, end in pieces):
                continue
            hole.state = "CONFIRMED"
            if any(left[1] == hole.low and right[0] == hole.high for left, right in pairwise(listed)):
                hole.cause = "no_trade"


def _nearest(candidates, start):
    if not candidates:
        return "unknown"
    away = {each: max(0, each.from_ms - start) for each in candidates}
    first = [each.cause for each in candidates if away[each] < min(away.values()) + 1000]
    return min(first, key=lambda cause: (LATER.index(cause) if cause in LATER else -1, cause))
