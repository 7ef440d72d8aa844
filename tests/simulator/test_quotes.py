"""Order books that behave."""

from decimal import Decimal
from random import Random

from simulator.market import Market
from simulator.quotes import book

NOON = 1_700_000_000.0
SAMPLE = (
    "KR103502GD31^131743^3.012^3.020^10575.00^10560.00^416090^323813^3.011^3.022^10576.00^10556.00^405284^57"
    "^3.010^3.022^10578.00^10555.00^177098^500000^3.009^3.024^10580.00^10551.00^97637^363079"
    "^3.001^3.025^10597.00^10550.00^80000^379920^1698609^4112382"
)


def is_believable(record):
    """Return whether a record has the shape and the order of the portal's sample frame."""
    columns = record.split("^")
    levels = [list(map(Decimal, columns[2 + 6 * level : 8 + 6 * level])) for level in range(5)]
    totals = list(map(int, columns[32:]))
    ask_yields, bid_yields, asks, bids, *quantities = zip(*levels, strict=True)
    return (
        len(columns) == 34
        and list(asks) == sorted(set(asks))
        and list(bids) == sorted(set(bids), reverse=True)
        and bids[0] < asks[0]
        and list(ask_yields) == sorted(ask_yields, reverse=True)
        and list(bid_yields) == sorted(bid_yields)
        and all(total >= sum(each) for total, each in zip(totals, quantities, strict=True))
    )


def test_books_are_believable():
    """Every book is ordered like the sample: asks above bids, and yields against prices."""
    market, random = Market(1), Random(1)
    books = [book(market.trading(f"KR6{n:08d}9", NOON), "120000", random) for n in range(300)]
    assert all(map(is_believable, [SAMPLE, *books]))
    assert not is_believable(SAMPLE.replace("10576.00", "10574.00"))
