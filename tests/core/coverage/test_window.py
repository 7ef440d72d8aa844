"""Where and when the trades of a hole were missed."""

from connector.core.coverage.hole import Hole
from connector.core.coverage.window import Window
from tests.core.coverage.trades import FRIDAY, ISIN, at, trade


def window(after, before):
    """Return the window of a hole whose bounds stand since 12:00."""
    return Window.of(ISIN, FRIDAY, Hole("id", 10, 30, after, before, at("12:00"), "unknown"))


def test_a_window_lies_between_the_neighbours():
    """Both slots may have missed the trades."""
    assert window(trade("10:00", slot=0), trade("10:05", slot=1)) == (ISIN, {0, 1}, at("10:00"), at("10:05"))


def test_a_window_without_neighbours_is_the_day_until_the_hole_was_found():
    """A hole from the start of the day begins at 09:00, and one at the end ends when found."""
    assert window(None, None) == (ISIN, frozenset(), at("09:00"), at("12:00"))


def test_a_market_that_trades_at_night_begins_at_midnight():
    """A test market has trades before the exchange opens."""
    assert window(None, trade("03:00"))[2:] == (at("00:00"), at("03:00"))


def test_neighbours_received_in_the_other_order_make_the_same_window():
    """KIS does not promise the order in which trades come."""
    assert window(trade("10:05"), trade("10:00"))[2:] == (at("10:00"), at("10:05"))


def test_a_rest_trade_names_no_slot():
    """A neighbour that came by REST was missed by whoever carried the other one."""
    assert window(trade("10:00", slot=None), trade("10:05", slot=1)).slots == {1}
