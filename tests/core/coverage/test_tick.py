"""A tick carries its trade as a neighbour of holes knows it."""

from tests.core.coverage.trades import FRIDAY, ISIN, at, tick


def test_a_tick_names_its_interval_its_trade_and_its_place():
    """The interval is (accumulated - volume, accumulated]; the place is partition and offset."""
    made = tick(100, 130, "10:00:05", slot=2, offset=7)
    assert (made.isin, made.trade_date, made.volume, made.accumulated) == (ISIN, FRIDAY, 30, 130)
    assert made.trade == (at("10:00:05"), "100-130", at("10:00:05"), 2)
    assert (made.source, made.partition, made.offset) == ("ws", 3, 7)
