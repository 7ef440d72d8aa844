"""Makes plausible order books of bonds (H0BJASP0, 34 columns, five levels).

The layout is that of koreainvestment/open-trading-api: bond_asking_price.py; its sample frame shows
what is believable: asks rise and their yields fall, and the totals exceed the five levels.
"""

from random import Random

from simulator.market import Trading, percent, won

LEVELS = 5


def book(trading: Trading, hour: str, random: Random) -> str:
    """Return the wire text of the bond's order book around its last price, joined by `^`."""
    of, price = trading.of, trading.price
    columns, totals = [of.isin, hour], [0, 0]
    for level in range(LEVELS):
        ask, bid = price + (1 + 2 * level) * of.step, price - (1 + 2 * level) * of.step
        quantities = [10 * random.randrange(1, 50_000), 10 * random.randrange(1, 50_000)]
        totals = [total + quantity for total, quantity in zip(totals, quantities, strict=True)]
        columns += [percent(of.yield_at(ask)), percent(of.yield_at(bid)), won(ask), won(bid), *map(str, quantities)]
    # The totals cover the whole book, of which the five levels are a part.
    deeper = [10 * random.randrange(0, 200_000) for _ in totals]
    columns += [str(total + more) for total, more in zip(totals, deeper, strict=True)]
    return "^".join(columns)
