"""Makes plausible trades: each bond's price is a random walk that depends only on the seed."""

import time
from collections import deque
from random import Random

from simulator.bond import Bond, bond
from simulator.reply import SEOUL_OFFSET_SECONDS

MOVES = (-2, -1, -1, 0, 0, 0, 0, 1, 1, 2)
BAND = 0.03


class Trading:
    """The trading days of one bond."""

    def __init__(self, of: Bond, seed: int, depth: int) -> None:
        self.of = of
        self._latest: deque[str] = deque(maxlen=depth)
        self._random = Random(f"{seed}/{of.isin}/trades")
        self._price = of.price + of.step * self._random.randrange(-20, 21)
        self._volume = 10 * self._random.randrange(1, 1_000_000)
        self._day = ""  # the first tick starts the first day

    @property
    def price(self) -> int:
        """The last price, in tenths of a won."""
        return self._price

    def accumulated(self, day: str) -> int:
        """Return the volume traded on the day `day` so far."""
        return self._volume if day == self._day else 0

    def latest(self, day: str) -> list[list[str]]:
        """Return the columns of the latest trades of `day`, newest first."""
        return [record.split("^") for record in reversed(self._latest)] if day == self._day else []

    def _begin(self, day: str) -> None:
        """Start the trading day `day` from yesterday's last price and volume."""
        self._latest.clear()
        self._day, self._previous, self._previous_volume, self._volume = day, self._price, self._volume, 0
        self._open = self._high = self._low = 0
        self._range_texts = ("", "")
        self._price_texts: dict[int, tuple[str, str]] = {}

    def tick(self, day: str, hour: str) -> str:
        """Return the wire text of the next trade: the 19 columns of H0BJCNT0, joined by `^`."""
        if day != self._day:
            self._begin(day)
        random, of = self._random.random, self.of
        price = self._price + MOVES[int(random() * len(MOVES))] * of.step
        if abs(price - of.price) > BAND * of.price:
            price = self._price
        self._price = price
        # Volumes are in thousands of won of face value. The general market trades multiples of ten.
        volume = 10 * (1 + int(9_999 * random() ** 8))
        self._volume += volume
        if self._open == 0 or not self._low <= price <= self._high:
            self._widen(price)
        change, yields = self._price_texts.get(price) or self._spell(price)
        prices, range_yields = self._range_texts
        kind = "1" if random() < 0.5 else "2"
        # The previous close stays 0.00, as in the portal's sample frame.
        record = (
            f"{of.isin}^{of.name}^{hour}^{change}^{volume}^{prices}^0.00^{yields}^{range_yields}"
            f"^{self._volume}^{self._previous_volume}^{kind}"
        )
        self._latest.append(record)
        return record

    def _widen(self, price: int) -> None:
        self._open = self._open or price
        self._high = max(self._high, price)
        self._low = min(self._low or price, price)
        of, three = self.of, (self._open, self._high, self._low)
        self._range_texts = ("^".join(map(won, three)), "^".join(percent(of.yield_at(each)) for each in three))

    def _spell(self, price: int) -> tuple[str, str]:
        """Return two texts for a price.

        The first has the sign, change, percent and price. The second has the yield. A day has few
        different prices, so the texts of each price are made only once.
        """
        change = price - self._previous
        sign = "2" if change > 0 else "5" if change < 0 else "3"
        ratio = round(change * 10_000 / self._previous)
        texts = (f"{sign}^{won(change)}^{hundredths(ratio)}^{won(price)}", percent(self.of.yield_at(price)))
        self._price_texts[price] = texts
        return texts


class Market:
    """Makes the trades of every bond. A bond starts to trade when it is first asked for.

    `depth` is how many of its latest trades each bond remembers.
    """

    def __init__(self, seed: int, depth: int = 30) -> None:
        self._seed, self._depth = seed, depth
        self._tradings: dict[str, Trading] = {}
        self._second = -1
        self._day = self._hour = ""

    def tick(self, isin: str, now: float) -> str:
        """Return the next trade of `isin`, at the Seoul time of `now` (seconds since 1970)."""
        if int(now) != self._second:
            self._second = int(now)
            self._day, self._hour = seoul(now)
        return self.trading(isin, now).tick(self._day, self._hour)

    def trading(self, isin: str, now: float) -> Trading:
        """Return the trading of `isin`, which begins at `now` if nobody asked for it before."""
        trading = self._tradings.get(isin)
        if trading is None:
            year = int(seoul(now)[0][:4])
            trading = self._tradings[isin] = Trading(bond(isin, self._seed, year), self._seed, self._depth)
        return trading


def seoul(now: float) -> tuple[str, str]:
    """Return the Seoul day (YYYYMMDD) and time (HHMMSS) of `now`, in seconds since 1970."""
    there = time.gmtime(int(now) + SEOUL_OFFSET_SECONDS)
    return time.strftime("%Y%m%d", there), time.strftime("%H%M%S", there)


def won(tenths: int) -> str:
    """Return the wire text of a price in tenths of a won."""
    return hundredths(tenths * 10)


def hundredths(value: int) -> str:
    """Return the wire text of a number with two decimals."""
    sign, size = "-" if value < 0 else "", abs(value)
    return f"{sign}{size // 100}.{size % 100:02d}"


def percent(milli: int) -> str:
    """Return the wire text of a yield in thousandths of a percent."""
    sign, size = "-" if milli < 0 else "", abs(milli)
    return f"{sign}{size // 1000}.{size % 1000:03d}"
