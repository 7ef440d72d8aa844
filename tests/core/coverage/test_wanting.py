"""When a bond was not wanted, or not registered."""

from connector.core.coverage.wanting import Wanting
from tests.core.coverage.trades import at

ALWAYS = 1 << 62


def absences(*changes, since=None):
    """Return the absences after events given as (time, kind, state)."""
    wanting = Wanting(since_ms=since and at(since))
    for time, kind, state in changes:
        wanting.event(kind, at(time), {"state": state})
    return list(wanting.absences())


def test_nothing_is_known_without_events_or_a_record():
    """A bond of which nothing is known is not said to be unwanted."""
    assert absences() == []


def test_a_bond_is_not_wanted_before_its_record_says_so():
    """`wanted_since` ends the time before."""
    assert absences(since="11:00") == [("not_wanted", -ALWAYS, at("11:00"))]


def test_the_earlier_of_record_and_event_counts():
    """A bond asked for while no connector ran was wanted before the event."""
    assert absences(("11:30", "wanted", "PENDING"), since="11:00") == [("not_wanted", -ALWAYS, at("11:00"))]
    assert absences(("11:30", "wanted", "PENDING"), since="14:00") == [("not_wanted", -ALWAYS, at("11:30"))]


def test_a_bond_removed_and_added_again_was_wanted_in_the_morning():
    """A later `wanted_since` says nothing about the time before the bond was removed."""
    found = absences(("12:00", "unwanted", None), ("14:00", "wanted", "PENDING"), since="14:00")
    assert found == [("not_wanted", at("12:00"), at("14:00"))]


def test_a_bond_that_waits_for_room_is_not_registered():
    """WAITING_CAPACITY and REJECTED are wanted, but KIS sends nothing."""
    found = absences(
        ("10:00", "wanted", "WAITING_CAPACITY"), ("11:00", "wanted", "PENDING"), ("12:00", "unwanted", "REJECTED")
    )
    assert found == [
        ("not_wanted", -ALWAYS, at("10:00")),
        ("not_registered", at("10:00"), at("11:00")),
        ("not_registered", at("12:00"), ALWAYS),
    ]


def test_old_changes_are_dropped_but_for_the_one_that_still_holds():
    """What a bond was at the time from which on holes may need a cause is kept."""
    wanting = Wanting()
    for time, kind in (("09:00", "wanted"), ("10:00", "unwanted"), ("11:00", "wanted")):
        wanting.event(kind, at(time), {})
    wanting.forget(at("10:30"))
    assert wanting.changes == [(at("10:00"), "not_wanted"), (at("11:00"), None)]
