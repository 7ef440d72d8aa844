"""What may be concluded from REST."""

from connector.core.coverage.readings import RestTrade, Total, Totals, are_neighbours, are_of_today, reaches, within
from tests.core.coverage.trades import at

CLOSED = at("15:35")
TRADES = [RestTrade("100300", "1", 5, 35), RestTrade("100100", "1", 10, 10), RestTrade("100200", "1", 10, 20)]


def totals(*readings):
    """Return the readings given as (time, volume)."""
    made = Totals()
    for time, volume in readings:
        made.add(Total(at(time), volume))
    return made


def test_the_earlier_of_two_readings_counts_after_30_seconds():
    """By then the ticks of the earlier reading have gone through the topic."""
    found = totals(("10:00:00", 50), ("10:00:10", 60))
    assert found.reached(at("10:00:29")) is None
    assert found.reached(at("10:00:30")) == 50


def test_one_reading_proves_nothing():
    """Trades may have happened between the reading and the ticks."""
    assert totals(("10:00:00", 50)).reached(at("11:00")) is None
    assert totals(("15:40:00", 50)).final(CLOSED) is None


def test_a_reading_that_is_not_later_is_ignored():
    """The same reading twice is one reading."""
    assert totals(("10:00:00", 50), ("10:00:00", 50)).reached(at("11:00")) is None


def test_two_equal_readings_a_minute_apart_after_the_close_are_the_days_volume():
    """Earlier, closer or different readings are not."""
    assert totals(("15:35:00", 50), ("15:36:00", 50)).final(CLOSED) == (at("15:36"), 50)
    assert totals(("15:34:59", 50), ("15:36:00", 50)).final(CLOSED) is None
    assert totals(("15:35:00", 50), ("15:35:59", 50)).final(CLOSED) is None
    assert totals(("15:35:00", 50), ("15:36:00", 51)).final(CLOSED) is None


def test_trades_within_a_hole_lie_in_it_whole():
    """A trade over a bound, or without volume, fills nothing."""
    assert [each.accumulated for each in within(TRADES, 0, 20)] == [10, 20]
    assert within(TRADES, 5, 19) == []
    assert within([RestTrade("100100", "1", 0, 10)], 0, 20) == []


def test_neighbours_stand_side_by_side_in_the_list():
    """KIS counted 10 between 20 and 30, and lists no trade there."""
    assert are_neighbours(TRADES, 20, 30)
    assert not are_neighbours(TRADES, 10, 30)
    assert not are_neighbours(TRADES, 20, 29)


def test_a_reading_reaches_what_is_below_its_last_trade():
    """An older reading says nothing about a hole above it."""
    assert reaches(TRADES, 35)
    assert not reaches(TRADES, 36)
    assert not reaches([], 0)


def test_a_list_with_a_trade_yet_to_come_is_of_an_earlier_day():
    """Its times have no date; KIS's clock may be a minute ahead of ours."""
    assert are_of_today(TRADES, at("10:03:00"))
    assert are_of_today(TRADES, at("10:02:00"))
    assert not are_of_today(TRADES, at("10:01:59"))
    assert are_of_today([], at("09:00:00"))
    assert are_of_today(TRADES, at("23:59:30")), "a minute later is the next day"
