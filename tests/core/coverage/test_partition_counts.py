"""By how many partitions ticks are written."""

import pytest

from connector.core.coverage.partition_counts import PartitionCounts
from connector.core.ticks.partition import partition
from tests.core.coverage.trades import FRIDAY, MONDAY, at

ISINS = ["KR103502GA34", "KR103502GD31", "KR6095572D81", "KR2033022D33"]


def counts(*events):
    """Return what is known after events given as (time, before, after, adopted)."""
    made = PartitionCounts()
    for time, before, after, adopted in events:
        made.event(at(time), {"topic": "ticks", "before": before, "after": after, "adopted": adopted})
    return made


def test_without_events_nothing_moved():
    """The topic then has as many partitions as are in use."""
    made = PartitionCounts()
    assert (made.in_use, made.knows_moves(), made.has_moved(ISINS[0], FRIDAY)) == (None, False, False)


def test_a_bond_whose_partition_changed_has_moved_on_that_date():
    """Bonds that kept their partition, and other dates, have not."""
    made = counts(("10:00", 6, 8, True))
    expected = [partition(isin.encode(), 6) != partition(isin.encode(), 8) for isin in ISINS]
    assert [made.has_moved(isin, FRIDAY) for isin in ISINS] == expected
    assert {*expected} == {True, False}
    assert (made.in_use, made.knows_moves()) == (8, True)
    assert not any(made.has_moved(isin, MONDAY) for isin in ISINS)


def test_a_connector_that_keeps_to_the_old_number_moves_nobody():
    """It tells of the growth, and writes as before until it is started again."""
    made = counts(("10:00", 6, 8, False))
    assert (made.in_use, made.knows_moves()) == (6, False)


def test_the_latest_event_counts():
    """Events of a killed connector may come again after later ones."""
    made = counts(("10:00", 6, 8, False), ("11:00", 6, 8, True), ("10:00", 6, 8, False))
    assert made.in_use == 8


@pytest.mark.parametrize("told", [("6", 8, True), (6, 0, True), (6, 2**70, True), (6, 8, 1), (True, 8, True)])
def test_a_number_that_is_none_is_ignored(told):
    """Anyone may write an event."""
    made = counts(("10:00", *told))
    assert (made.in_use, made.knows_moves()) == (None, False)


def test_old_changes_are_forgotten():
    """No hole of such a date needs a cause."""
    made = counts(("10:00", 6, 8, True))
    made.forget(at("00:00"))
    assert made.knows_moves()
    made.forget(at("00:01"))
    assert (made.knows_moves(), made.in_use) == (False, 8)
