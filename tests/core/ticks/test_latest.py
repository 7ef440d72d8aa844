"""Ticks of a bond are ordered by trade date and accumulated volume."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks.latest import Order, order_header, order_in, trade_date

DAYS = (date(2026, 3, 2) - date(1970, 1, 1)).days


def test_the_trade_date_is_that_of_the_tick():
    """A trade shortly before midnight in Seoul that is received after it keeps its date."""
    received_ms = int(datetime(2026, 3, 2, 15, 0, 1, tzinfo=UTC).timestamp() * 1000)
    assert trade_date("235959", received_ms) == DAYS
    assert trade_date("000000", received_ms) == DAYS + 1


def test_a_later_date_comes_after_a_larger_volume():
    """A day's first tick follows the last one of the day before."""
    assert Order(DAYS, 10**18 - 1) < Order(DAYS + 1, 0) < Order(DAYS + 1, 1)


def test_the_header_can_be_read_by_people():
    """The order stands in a header as a date and a number."""
    assert order_header(Order(DAYS, 1_500_000)) == ("order", b"2026-03-02 1500000")


@given(st.integers(0, 80_000), st.integers(0, 10**18 - 1))
def test_what_was_written_is_read(day, volume):
    """Every order survives its header."""
    assert order_in([("slot", b"0"), order_header(Order(day, volume))]) == Order(day, volume)


@pytest.mark.parametrize(
    "value",
    [b"", b"2026-03-02", b"2026-13-02 1", b"2026-03-02 -1", b"2026-03-02 1\n", b"2026-03-02 " + b"9" * 19, b"\xff 1"],
)
def test_a_foreign_header_is_no_order(value):
    """What is no date and volume of at most 18 digits is ignored."""
    assert order_in([("order", value)]) is None
    assert order_in([]) is None
