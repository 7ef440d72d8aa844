"""When a bond's day proves nothing."""

import pytest

from connector.core.coverage.law import is_broken


@pytest.mark.parametrize(
    ("pairs", "broken", "jumps", "is_it"),
    [
        (19, 19, 19, False),
        (20, 0, 4, False),
        (20, 0, 5, True),
        (20, 1, 0, True),
        (100, 1, 0, False),
        (100, 2, 0, True),
        (100, 0, 20, False),
        (100, 0, 21, True),
    ],
)
def test_more_than_one_percent_broken_or_a_fifth_of_jumps_prove_nothing(pairs, broken, jumps, is_it):
    """Fewer than 20 pairs prove nothing about the law; above that the limits are exact."""
    assert is_broken(pairs, broken, jumps) is is_it
