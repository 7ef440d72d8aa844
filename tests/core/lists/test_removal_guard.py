"""Most of the desired bonds are dropped only if that is confirmed."""

import pytest

from connector.core.lists.removal_guard import held_back, is_held_back


@pytest.mark.parametrize(
    ("dropped", "desired", "is_held"),
    [(9, 9, False), (10, 10, True), (10, 19, True), (10, 20, False), (11, 20, True), (500, 1000, False)],
)
def test_ten_bonds_that_are_more_than_half(dropped, desired, is_held):
    """A change is held back if it drops at least ten bonds, and more than half of the desired."""
    assert is_held_back(held_back(dropped, desired, "this record", "confirm it")) is is_held


def test_the_refusal_names_figures_and_remedy():
    """The refusal begins with the guard's name and says how many bonds and what to do."""
    refusal = held_back(10, 12, "this record", "confirm it")
    assert refusal == "removal guard: this record would have dropped 10 of 12 desired bonds; confirm it"


def test_other_refusals_are_not_the_guards():
    """A refusal of another kind, or none, is not the guard's."""
    assert not is_held_back("not an object")
    assert not is_held_back(None)
    assert not is_held_back(5)
    assert not is_held_back(["removal guard"])
