"""The benchmark's day is deterministic, and looks like a real one."""

from itertools import pairwise

import pytest

from benchmarks.day import frames, isins, ticks
from connector.core.bonds.isin import is_valid
from connector.core.ticks.avro import Tick, TickEncoder, TickSchema
from connector.core.ticks.frame import Received, split
from connector.packaged_files import bond_tick

TICKS = 60_000


def columns(day):
    """Return the columns of each tick."""
    return [tick.text.split("^") for tick in day]


@pytest.fixture(scope="module")
def day():
    """Give a day of three thousand prices over 41 bonds."""
    return list(ticks(TICKS, 41, 3_000))


def test_same_seed_same_day(day):
    """The same arguments give the same ticks, and another seed gives others."""
    assert list(ticks(TICKS, 41, 3_000, seed=1)) == day
    assert list(ticks(1_000, 41, 3_000, seed=2)) != list(ticks(1_000, 41, 3_000, seed=1))


def test_distinct_prices(day):
    """The day shows nearly as many distinct prices as asked for, and never more."""
    assert 2_900 <= len({each[6] for each in columns(day)}) <= 3_000


@pytest.mark.parametrize(("bonds", "prices"), [(1_000, 15_000), (41, 1), (1, 15_000), (7, 5)])
def test_any_number_of_bonds(bonds, prices):
    """Every bond trades, also where there are fewer prices than bonds."""
    found = columns(ticks(20 * bonds, bonds, prices))
    assert {each[0] for each in found} == set(isins(bonds))
    assert len({each[6] for each in found}) <= max(prices, bonds)


def test_isins_are_valid():
    """The ISINs are distinct and end in the right check digit."""
    assert len(set(isins(1_000))) == 1_000
    assert all(map(is_valid, isins(1_000)))


def test_no_tick_repeats(day):
    """No two ticks are equal, so that no cache of whole ticks could help."""
    assert len({tick.text for tick in day}) == TICKS


def test_volume_accumulates(day):
    """A bond's accumulated volume rises by each trade's volume, and yesterday's stays."""
    latest = {}
    for each in columns(day):
        isin, volume, accumulated, previous_day = each[0], int(each[7]), int(each[16]), each[17]
        assert volume > 0
        assert volume % 10 == 0
        if isin in latest:
            assert (accumulated - volume, previous_day) == latest[isin]
        latest[isin] = accumulated, previous_day


def test_time_goes_on(day):
    """The ticks are in order of time, a thousand in each second from nine o'clock."""
    hours = [each[2] for each in columns(day)]
    assert all(earlier <= later for earlier, later in pairwise(hours))
    assert (hours[0], hours[999], hours[1000], hours[-1]) == ("090000", "090000", "090001", "090059")


def test_prices_fit_each_other(day):
    """A price is between the bond's low and high; sign and change agree."""
    for each in columns(day):
        sign, change, price = each[3], float(each[4]), float(each[6])
        assert float(each[10]) <= price <= float(each[9])
        assert sign == ("2" if change > 0 else "5" if change < 0 else "3")
        assert float(each[14]) <= float(each[12]) <= float(each[15])


def test_names_are_odd_and_korean(day):
    """The names have Hangul, full-width letters, blanks and brackets, and at most 80 bytes."""
    names = "".join({each[1] for each in columns(day)})
    assert set("국ＮＵ㈜ <&'(") <= set(names)
    assert max(len(each[1].encode()) for each in columns(day)) <= 80


@pytest.mark.parametrize("per_frame", [1, 19])
def test_every_frame_is_good(per_frame):
    """The connector reads every record of every frame as a tick."""
    schema = TickSchema(bond_tick())
    encoder = TickEncoder(schema, schema.single_object_prefix)
    encoded = []
    for raw in frames(ticks(100, 41, 15_000), per_frame):
        records = split(Received(1_795_148_263_000_000_000, 0, 1, False, raw), ())
        encoded += [encoder.encode(record, encoder.origin(1_795_148_263_000)) for record in records]
    assert [type(each) for each in encoded] == [Tick] * 100


def test_last_frame_may_be_shorter():
    """Forty ticks at nineteen a frame are three frames, the last with two records."""
    assert [raw[:15] for raw in frames(ticks(40, 41, 100), 19)] == [
        b"0|H0BJCNT0|019|",
        b"0|H0BJCNT0|019|",
        b"0|H0BJCNT0|002|",
    ]
