"""Makes the ticks of one trading day; the same arguments give the same ticks.

It is a busy day, with a thousand ticks in each second. Each bond has its own band of prices, and
the bands of all bonds together hold the number of distinct prices that was asked for. A bond's
price wanders over its whole band, its volume accumulates, and its high and low widen. No two ticks
of a bond are equal.
"""

from bisect import bisect
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import NamedTuple

from connector.core.bonds.isin import with_check_digit

LOWEST_TENTHS = 90_000  # the lowest price, in tenths of a won; a step is one tenth
OPENS_SECOND, TRADING_SECONDS = 9 * 3600, 23_400  # from 09:00 to 15:30
TICKS_A_SECOND = 1_000
ODD_NAMES = (
    "국고03250-5303(23-2)",
    "통안03165-2610-02",
    "국민주택1종24-05",
    "㈜가람화학 12-1(녹)",
    "ＮＵＲＩ건설&파트너스3-2후",
    "다온전자229-3",
    "마루에너지제이십삼차유동화전문유한회사1-17",
    "한빛캐피탈(주) 401-2 <변동>",
    "서울도시철도26/01 '토지'",
)


class Tick(NamedTuple):
    """One tick: the bond's ISIN, and the wire text of the record's 19 columns."""

    isin: str
    text: str


def isins(count: int) -> list[str]:
    """Return the ISINs of so many bonds."""
    return [with_check_digit(f"KR1035{number:05d}") for number in range(count)]


class Spread(NamedTuple):
    """How the ticks lie over the day and over the bonds.

    With an `evenness` above 0 the share of the bond at place n is 1 / (n + evenness), as some bonds
    trade far more than others. With 0 all bonds have the same share.
    """

    ticks_a_second: int = TICKS_A_SECOND
    evenness: int = 0


BUSY = Spread()


def ticks(count: int, bonds: int, prices: int, seed: int = 1, spread: Spread = BUSY) -> Iterator[Tick]:
    """Yield the day's ticks in order of time; each is of a bond chosen by chance.

    Runs of at least twenty ticks for each price show nearly all `prices`.
    """
    chance = Random(seed)
    tradings = [
        _Trading(isin, number, number * prices // bonds, (number + 1) * prices // bonds, chance)
        for number, isin in enumerate(isins(bonds))
    ]
    shares = list(accumulate(1 / (place + spread.evenness) if spread.evenness else 1 for place in range(bonds)))
    for number in range(count):
        hour = _hhmmss(OPENS_SECOND + number // spread.ticks_a_second % TRADING_SECONDS)
        place = bisect(shares, chance.random() * shares[-1], hi=bonds - 1)
        yield tradings[place].tick(hour)


def frames(day: Iterable[Tick], per_frame: int) -> Iterator[bytes]:
    """Yield data frames of `per_frame` records; the last frame may have fewer."""
    waiting: list[str] = []
    for tick in day:
        waiting.append(tick.text)
        if len(waiting) == per_frame:
            yield _frame(waiting)
            waiting.clear()
    if waiting:
        yield _frame(waiting)


def _frame(records: list[str]) -> bytes:
    return f"0|H0BJCNT0|{len(records):03d}|{'^'.join(records)}".encode()


class _Trading:
    """One bond's day; its prices are levels from `first` up to, but without, `end`."""

    def __init__(self, isin: str, number: int, first: int, end: int, chance: Random) -> None:
        self._isin = isin
        self._name = ODD_NAMES[number] if number < len(ODD_NAMES) else f"가람화학{number}-{number % 5 + 1}(녹)"
        self._random = chance.random
        self._first, self._levels = first, max(1, end - first)
        self._reach = 1 + self._levels // 4
        self._level = self._previous = self._levels // 2
        self._yield_milli = chance.randrange(2_500, 6_500)
        self._volume = 10 * chance.randrange(600_000)
        self._previous_volume = 10 * chance.randrange(1, 1_000_000)
        self._open = self._high = self._low = -1
        self._range = ("", "")

    def tick(self, hour: str) -> Tick:
        random = self._random
        level = self._level + int((2 * self._reach + 1) * random()) - self._reach
        if 0 <= level < self._levels:
            self._level = level
        else:
            level = self._level
        if self._open < 0 or not self._low <= level <= self._high:
            self._widen(level)
        # As at KRX: multiples of ten thousand won of face value; most trades are small.
        volume = 10 * (1 + int(9_999 * random() ** 8))
        self._volume += volume
        change = level - self._previous
        sign = "2" if change > 0 else "5" if change < 0 else "3"
        percent = round(change * 10_000 / (LOWEST_TENTHS + self._first + self._previous))
        prices, yields = self._range
        return Tick(
            self._isin,
            f"{self._isin}^{self._name}^{hour}^{sign}^{_decimals(change * 10, 2)}^{_decimals(percent, 2)}"
            f"^{self._price(level)}^{volume}^{prices}^0.00^{self._yield(level)}^{yields}^{self._volume}"
            f"^{self._previous_volume}^{'1' if random() < 0.5 else '2'}",
        )

    def _widen(self, level: int) -> None:
        if self._open < 0:
            self._open = self._high = self._low = level
        self._high, self._low = max(self._high, level), min(self._low, level)
        three = (self._open, self._high, self._low)
        self._range = "^".join(map(self._price, three)), "^".join(map(self._yield, three))

    def _price(self, level: int) -> str:
        return _decimals((LOWEST_TENTHS + self._first + level) * 10, 2)

    def _yield(self, level: int) -> str:
        return _decimals(self._yield_milli - level, 3)


@lru_cache(maxsize=2)
def _hhmmss(second: int) -> str:
    return f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"


def _decimals(number: int, places: int) -> str:
    whole, fraction = divmod(abs(number), 10**places)
    return f"{'-' if number < 0 else ''}{whole}.{fraction:0{places}d}"
