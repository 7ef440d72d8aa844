"""Tests of names in a phrase."""

import pytest

from connector.core.phrase import named


@pytest.mark.parametrize(
    ("names", "phrase"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "a, b and 2 more"),
        ([str(number) for number in range(41)], "0, 1 and 39 more"),
    ],
)
def test_many_names_are_counted(names, phrase):
    """Up to three names are named; of more, two are named and the rest is counted."""
    assert named(names) == phrase


def test_foreign_names_stay_on_one_line():
    """A name with a line break is shown with an escape."""
    assert named(["a\nb", "\x1b[31m"]) == "a\\nb, \\x1b[31m"
