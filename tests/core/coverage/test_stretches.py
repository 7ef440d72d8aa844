"""The union of intervals, kept as the stretches that are missing from it."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.coverage.stretches import EXTENDED, FILLED, JUMPED, OVERLAPPED, REPEATED, Stretches
from tests.core.coverage.trades import trade


def missing(stretches):
    """Return bounds and neighbours of what is missing."""
    return [
        (each.low, each.high, each.after and each.after.tick_id, each.before and each.before.tick_id)
        for each in stretches.missing
    ]


@pytest.fixture
def stretches():
    """Return (0, 10] and (30, 40] covered, by the trades a and b."""
    made = Stretches()
    made.add(0, 10, trade(tick_id="a"), 1)
    made.add(30, 40, trade(tick_id="b"), 2)
    return made


def test_a_jump_leaves_a_stretch_between_its_neighbours(stretches):
    """What is missing lies between the trades on its two sides."""
    assert missing(stretches) == [(10, 30, "a", "b")]
    assert stretches.missing[0].since_ms == 2
    assert stretches.add(50, 60, trade(tick_id="c"), 3) is JUMPED
    assert missing(stretches) == [(10, 30, "a", "b"), (40, 50, "b", "c")]
    assert stretches.missing_volume == 30


def test_the_first_trade_of_a_late_start_leaves_a_stretch_from_zero():
    """A stretch from the start of the day has no trade before it."""
    stretches = Stretches()
    assert stretches.add(5, 9, trade(tick_id="a"), 1) is JUMPED
    assert missing(stretches) == [(0, 5, None, "a")]


def test_trades_in_order_need_no_memory():
    """A trade that begins where the last ended leaves nothing but a higher top."""
    stretches = Stretches()
    assert {stretches.add(n, n + 1, trade(tick_id=str(n)), 1) for n in range(1000)} == {EXTENDED}
    assert (stretches.top, stretches.missing, stretches.last.tick_id) == (1000, [], "999")


@pytest.mark.parametrize(
    ("low", "high", "change", "left"),
    [
        (10, 30, FILLED, []),
        (10, 20, FILLED, [(20, 30, "x", "b")]),
        (20, 30, FILLED, [(10, 20, "a", "x")]),
        (15, 20, FILLED, [(10, 15, "a", "x"), (20, 30, "x", "b")]),
        (5, 20, OVERLAPPED, [(20, 30, "x", "b")]),
        (25, 35, OVERLAPPED, [(10, 25, "a", "x")]),
        (0, 40, OVERLAPPED, []),
        (20, 50, OVERLAPPED, [(10, 20, "a", "x")]),
        (35, 45, OVERLAPPED, [(10, 30, "a", "b")]),
        (0, 10, REPEATED, [(10, 30, "a", "b")]),
        (32, 40, REPEATED, [(10, 30, "a", "b")]),
    ],
)
def test_a_late_interval_fills_what_is_missing(stretches, low, high, change, left):
    """A late interval fills a stretch in part or whole; what was covered stays covered."""
    assert stretches.add(low, high, trade(tick_id="x"), 9) is change
    assert missing(stretches) == left
    assert stretches.top == max(40, high)


def test_the_bounds_of_pieces_are_new(stretches):
    """A stretch that was cut has to stand again before it is announced."""
    stretches.add(15, 20, trade(tick_id="x"), 9)
    assert [each.since_ms for each in stretches.missing] == [9, 9]


def test_a_repeat_of_the_last_trade_is_not_its_neighbour(stretches):
    """The first copy of a trade is the neighbour of what comes after it."""
    stretches.add(30, 40, trade(tick_id="copy"), 3)
    stretches.add(50, 60, trade(tick_id="c"), 4)
    assert missing(stretches)[-1] == (40, 50, "b", "c")


def test_a_stretch_at_the_end_gets_its_second_neighbour_with_the_next_trade(stretches):
    """REST says that the volume is 70; the trade that begins there closes the stretch."""
    stretches.reach(70, None, 5)
    assert missing(stretches)[-1] == (40, 70, "b", None)
    assert stretches.add(70, 80, trade(tick_id="c"), 6) is EXTENDED
    assert missing(stretches)[-1] == (40, 70, "b", "c")


def test_a_stretch_at_the_end_grows_with_a_jump(stretches):
    """A stretch is as long as it can be: a jump beyond the end makes no second one."""
    stretches.reach(70, None, 5)
    assert stretches.add(75, 80, trade(tick_id="c"), 6) is JUMPED
    assert missing(stretches)[1:] == [(40, 75, "b", "c")]
    assert (stretches.top, stretches.missing[-1].since_ms) == (80, 6)


def test_an_announced_stretch_at_the_end_keeps_its_bounds(stretches):
    """The bounds of an announced hole stay: a jump beyond it makes a stretch of its own."""
    stretches.reach(70, None, 5)
    stretches.missing[-1].hole = "announced"
    stretches.add(75, 80, trade(tick_id="c"), 6)
    assert [each[:2] for each in missing(stretches)] == [(10, 30), (40, 70), (70, 75)]


def test_a_trade_over_the_end_fills_and_extends(stretches):
    """A trade that begins in the stretch at the end and goes beyond is regular."""
    stretches.reach(70, None, 5)
    assert stretches.add(60, 90, trade(tick_id="c"), 6) is FILLED
    assert missing(stretches)[-1] == (40, 60, "b", "c")
    assert stretches.last.tick_id == "c"


def test_a_piece_belongs_to_the_hole_it_was_cut_from(stretches):
    """Both pieces of an announced hole are what remains of it."""
    stretches.missing[0].hole = hole = object()
    stretches.add(15, 20, trade(tick_id="x"), 9)
    assert [each.hole for each in stretches.missing] == [hole, hole]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=40))
def test_stretches_are_what_a_set_of_units_lacks(intervals):
    """Whatever the order: what is missing is each unit of volume that no interval covers."""
    stretches, covered = Stretches(), set()
    for low, volume in intervals:
        new = set(range(low, low + volume)) - covered
        change = stretches.add(low, low + volume, trade(tick_id="x"), 0)
        assert (change is REPEATED) == (not new)
        assert (change is OVERLAPPED) == (0 < len(new) < volume)
        covered |= new
    lacking = {unit for each in stretches.missing for unit in range(each.low, each.high)}
    assert lacking == set(range(stretches.top)) - covered
    assert all(left.high < right.low for left, right in pairwise(stretches.missing))
