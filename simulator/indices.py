"""Makes plausible values of bond indices (H0BICNT0, 20 columns).

The layout is that of koreainvestment/open-trading-api: bond_index_ccnl.py, with its sample frame.
"""

from random import Random

from simulator.market import hundredths


class Index:
    """One index, a random walk from 100.00 to 200.00 that depends only on its id and the seed.

    Values are hundredths.
    """

    def __init__(self, index_id: str, seed: int) -> None:
        self._id = index_id
        self._random = Random(f"{seed}/{index_id}/index")
        self._now = self._random.randrange(10_000, 20_000)
        self._clean = self._now * 3 // 5
        self._duration, self._yield = self._random.randrange(100, 1_500), self._random.randrange(250, 450)
        self._day = ""

    def value(self, day: str, hour: str) -> str:
        """Return the wire text of the next value, joined by `^`."""
        if day != self._day:
            self._day, self._before = day, self._now
            self._open = self._high = self._low = self._now
        move = self._random.randrange(-2, 3)
        self._now += move
        self._clean += move
        self._high, self._low = max(self._high, self._now), min(self._low, self._now)
        change = self._now - self._before
        sign = "2" if change > 0 else "5" if change < 0 else "3"
        total_return = map(hundredths, (self._open, self._high, self._low, self._now, self._before, change))
        ratio = hundredths(round(change * 10_000 / self._before))
        others = (self._clean, self._clean + 58, self._now, self._now - 171, 0)
        properties = (self._duration, self._duration**2 // 50, self._yield, 0)
        return "^".join(
            [self._id, day, hour, *total_return, sign, ratio, *map(hundredths, others), *map(hundredths, properties)]
        )
