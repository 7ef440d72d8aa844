"""Makes a plausible bond from the text of its ISIN."""

from dataclasses import dataclass
from random import Random

ISSUERS = ("가람화학", "누리건설", "다온전자", "마루에너지", "한빛캐피탈")

# The bond in the portal's sample frame keeps the name that it has in that frame.
SAMPLE_ISIN, SAMPLE_NAME = "KR103502GD31", "국고03250-5303(23-2)"
SAMPLE_COUPON_MILLI, SAMPLE_MATURITY = 3250, 2053


@dataclass(frozen=True, slots=True)
class Bond:
    """The properties of a bond that do not change within a day.

    Prices are tenths of a won per 10,000 won of face value. Yields are thousandths of a percent.
    `step` is the smallest change of a price.
    """

    isin: str
    name: str
    step: int
    duration_years: float
    price: int
    yield_milli: int

    def yield_at(self, price: int) -> int:
        """Return the yield at `price`; it falls as the price rises."""
        return self.yield_milli - round((price - self.price) / self.duration_years)


def bond(isin: str, seed: int, year: int) -> Bond:
    """Return the bond of `isin`; the same ISIN, seed and year always give the same bond."""
    random = Random(f"{seed}/{isin}")
    coupon_milli = 2000 + 125 * random.randrange(1, 25)
    matures = year + random.choice((1, 2, 3, 5, 10, 20, 30))
    month = random.randrange(1, 13)
    if isin == SAMPLE_ISIN:
        coupon_milli, matures = SAMPLE_COUPON_MILLI, max(SAMPLE_MATURITY, year)
    life = max(matures - year, 1)
    # The tick size of KRX's general market is 1 won for a remaining life of at least ten years,
    # 0.5 won for at least two years, and 0.1 won below that.
    step = 10 if life >= 10 else 5 if life >= 2 else 1
    duration = max(0.75 * life, 0.5)
    yield_milli = coupon_milli + random.randrange(-400, 401)
    price = round((100_000 + (coupon_milli - yield_milli) * duration) / step) * step
    name = SAMPLE_NAME if isin == SAMPLE_ISIN else _name(isin, random, coupon_milli, f"{matures % 100:02d}{month:02d}")
    return Bond(isin, name, step, duration, price, yield_milli)


def _name(isin: str, random: Random, coupon_milli: int, matures: str) -> str:
    if isin.startswith("KR10"):
        return f"국고{coupon_milli:05d}-{matures}({random.randrange(20, 27)}-{random.randrange(1, 13)})"
    if isin.startswith("KR31"):
        return f"통안{coupon_milli:05d}-{matures}-{random.randrange(1, 4):02d}"
    return f"{random.choice(ISSUERS)}{random.randrange(1, 400)}-{random.randrange(1, 4)}"
