"""Most of the desired bonds are dropped only if that is confirmed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.lists.removal_guard import VALUE, WINDOW_SECONDS, RemovalGuard, is_held_back


def refusal(guard, before, after, now=0.0):
    """Return what the guard says of a change."""
    return guard.refusal(before, after, now, VALUE)


@pytest.mark.parametrize(
    ("before", "after", "is_held"),
    [(9, 0, False), (10, 0, True), (19, 9, True), (20, 10, False), (20, 9, True), (1000, 500, False), (20, 20, False)],
)
def test_ten_bonds_that_are_more_than_half(before, after, is_held):
    """A change is held back if it drops at least ten bonds, and more than half of the desired."""
    assert is_held_back(refusal(RemovalGuard(before, 0.0), before, after)) is is_held


def test_the_refusal_names_figures_and_remedy():
    """The refusal begins with the guard's name and says how many bonds and what to do."""
    assert refusal(RemovalGuard(12, 0.0), 12, 2) == (
        "removal guard: this record would have left 2 of 12 bonds desired within ten minutes; "
        'send the same value with "confirm_removal": true'
    )


def test_removals_one_after_the_other_count_together():
    """Halves of halves are held back: 200, 102, 52 bonds within the window, and then 26."""
    guard = RemovalGuard(200, 0.0)
    assert refusal(guard, 200, 102, 10.0) is None
    guard.note(102, 10.0)
    assert "left 52 of 200" in refusal(guard, 102, 52, 20.0)
    assert refusal(guard, 102, 52, 10.0 + WINDOW_SECONDS - 0.1) is not None
    assert refusal(guard, 102, 52, 10.0 + WINDOW_SECONDS) is None


def test_an_addition_is_never_held_back():
    """After a confirmed drop nothing that adds bonds, or drops none, is held back."""
    guard = RemovalGuard(100, 0.0)
    guard.note(5, 1.0)
    assert refusal(guard, 5, 6, 2.0) is None
    assert refusal(guard, 5, 5, 2.0) is None


def test_a_confirmed_removal_is_not_held_against_others():
    """After a confirmed removal the next change is judged by the new number alone."""
    guard = RemovalGuard(100, 0.0)
    guard.confirm(20, 1.0)
    assert refusal(guard, 20, 12, 2.0) is None
    assert "of 20" in refusal(guard, 20, 5, 2.0)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 300)), max_size=30), st.integers(0, 900))
def test_the_highest_is_that_of_every_moment_of_the_window(steps, later):
    """The highest number equals that of a fresh look at each moment of the window."""
    now, history, guard = 0, [(0, 7)], RemovalGuard(7, 0)
    for count, seconds in steps:
        now += seconds
        guard.note(count, now)
        history.append((now, count))
    now += later
    ends = [start for start, _ in history[1:]] + [now + 1]
    in_force = [count for (_, count), end in zip(history, ends, strict=True) if end > now - WINDOW_SECONDS]
    assert guard.highest(now) == max(in_force)


def test_other_refusals_are_not_the_guards():
    """A refusal of another kind, or none, is not the guard's."""
    assert not is_held_back("not an object")
    assert not is_held_back(None)
    assert not is_held_back(5)
    assert not is_held_back(["removal guard"])
