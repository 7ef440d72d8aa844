"""The id of a hole."""

from connector.core.coverage.hole import hole_id
from tests.core.coverage.trades import FRIDAY, ISIN


def test_an_id_is_made_of_bond_date_and_bounds():
    """Whoever finds the hole gives it the same id."""
    assert hole_id(ISIN, FRIDAY, 10, 30) == "KR103502GA34/2026-09-11/10-30"
