"""Trades that behave."""

import re
from decimal import Decimal

from simulator.bond import bond
from simulator.market import Market

NOON = 1_700_000_000.0  # 2023-11-15 07:13:20 in Seoul
ISIN = "KR103502GA34"
WON, PERCENT, WHOLE = r"-?[0-9]+\.[0-9]{2}", r"-?[0-9]+\.[0-9]{3}", r"[0-9]+"
SHAPE = re.compile(
    rf"[A-Z0-9]{{12}}\^[^^|]+\^[0-9]{{6}}\^[235]\^{WON}\^{WON}\^{WON}\^{WHOLE}\^{WON}\^{WON}\^{WON}\^0\.00"
    rf"\^{PERCENT}\^{PERCENT}\^{PERCENT}\^{PERCENT}\^{WHOLE}\^{WHOLE}\^[12]"
)


def trades(count, seed=1, isin=ISIN):
    """Return the first trades of one bond."""
    market = Market(seed)
    return [market.tick(isin, NOON) for _ in range(count)]


def test_the_text_has_the_portals_shape():
    """A trade has nineteen columns in the form that the portal's sample has."""
    sample = (
        "KR103502GD31^국고03250-5303(23-2)^131743^2^5.00^0.05^10575.00^1^"
        "10525.00^10578.00^10525.00^0.00^3.012^3.037^3.010^3.037^6594124^9874082^2"
    )
    assert all(SHAPE.fullmatch(record) for record in [sample, *trades(2000)])


def test_the_same_seed_repeats():
    """Trades depend on seed and ISIN alone."""
    assert trades(100) == trades(100)
    assert trades(100) != trades(100, seed=2)
    market = Market(1)
    mixed = [(market.tick("KR103502GD31", NOON), market.tick(ISIN, NOON))[1] for _ in range(100)]
    assert mixed == trades(100)


def test_hour_is_seoul_time():
    """The trade's hour is Seoul's."""
    assert trades(1)[0].split("^")[2] == "071320"


def test_accumulated_volume_grows_by_each_trade():
    """ACML_VOL is the sum of CNTG_VOL."""
    total = 0
    for record in trades(500):
        columns = record.split("^")
        total += int(columns[7])
        assert int(columns[16]) == total


def test_open_high_and_low_are_those_of_the_day():
    """OPRC, HGPR and LWPR follow from the prices, and yields move against prices."""
    seen = []
    for record in trades(1000):
        columns = record.split("^")
        seen.append(Decimal(columns[6]))
        assert [Decimal(text) for text in columns[8:11]] == [seen[0], max(seen), min(seen)]
        assert Decimal(columns[14]) <= Decimal(columns[12]) <= Decimal(columns[15])
    assert len(set(seen)) > 10


def test_change_sign_and_percent_agree():
    """The sign code fits the signed change, and the implied previous close stays all day."""
    columns = [record.split("^") for record in trades(500)]
    assert len({Decimal(each[6]) - Decimal(each[4]) for each in columns}) == 1
    for each in columns:
        change = Decimal(each[4])
        assert each[3] == ("2" if change > 0 else "5" if change < 0 else "3")
        assert Decimal(each[5]) * change >= 0


def test_prices_lie_on_the_tick_size():
    """Every price is a whole number of ticks."""
    step = bond(ISIN, 1, 2023).step
    assert all(Decimal(record.split("^")[6]) * 10 % step == 0 for record in trades(500))


def test_a_new_day_begins_anew():
    """A new day starts at volume 0, from yesterday's volume and last price."""
    market = Market(1)
    last = [market.tick(ISIN, NOON) for _ in range(50)][-1].split("^")
    first = market.tick(ISIN, NOON + 86_400).split("^")
    assert (first[16], first[17]) == (first[7], last[16])
    assert Decimal(first[6]) - Decimal(first[4]) == Decimal(last[6])
    assert first[8] == first[9] == first[10] == first[6]
