"""When a bond becomes wanted or unwanted, or gains or loses a chance to be registered."""

import pytest

from connector.core.status import Standings

A, B, C = "KR103502GA34", "KR103502GA67", "KR103502GA91"
T0, T1 = "2026-01-02T00:00:00.000Z", "2026-01-02T00:00:01.000Z"


def record(state, lists=("desk",), slot=0):
    """Return the status record of a bond."""
    return {"state": state, "lists": list(lists), "slot": slot}


def told(standings, records):
    """Note these records as changed, and return what is told of which bond, in which state."""
    keyed = {f"instrument/{isin}": found for isin, found in records.items()}
    standings.note(keyed, T1)
    events = standings.events({key: found for key, found in keyed.items() if found}, lambda _: True, 100)
    assert all(event.at == T1 for event in events)
    return [(event.event, event.instrument, event.detail["state"]) for event in events]


CHANGES = [
    # the record before and after, and what is told
    (None, record("PENDING"), ("wanted", "PENDING")),
    (None, record("WAITING_CAPACITY", slot=None), ("wanted", "WAITING_CAPACITY")),
    (record("PENDING"), record("ACTIVE"), None),
    (record("ACTIVE"), record("DISCONNECTED"), None),
    (record("ACTIVE"), record("ACTIVE", ["other"], 1), None),
    (record("ACTIVE"), record("REJECTED"), ("wanted", "REJECTED")),
    (record("REJECTED"), record("REJECTED"), None),
    (record("REJECTED"), record("WAITING_CAPACITY"), ("wanted", "WAITING_CAPACITY")),
    (record("WAITING_CAPACITY"), record("PENDING"), ("wanted", "PENDING")),
    (record("ACTIVE"), record("ACTIVE", []), ("unwanted", None)),
    (record("ACTIVE", []), record("DISCONNECTED", []), None),
    (record("ACTIVE", []), None, None),
    (record("REJECTED"), None, ("unwanted", None)),
    (record("ACTIVE", []), record("ACTIVE"), ("wanted", "ACTIVE")),
]


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES)
def test_each_change_is_told_once(before, after, expected):
    """Only the desired set and the two states without a registration count as a change."""
    standings = Standings()
    standings.assume({f"instrument/{A}": before, "list/desk": record("WAITING_CAPACITY")})
    found = told(standings, {A: after})
    assert found == ([] if expected is None else [(expected[0], A, expected[1])])
    assert told(standings, {A: after}) == []


def test_an_event_says_which_lists_want_the_bond_and_where():
    """The detail has state and lists, and the event has the slot."""
    standings = Standings()
    standings.note([f"instrument/{A}", "slot/0"], T0)
    (event,) = standings.events({f"instrument/{A}": record("PENDING", ["a", "b"], 3)}, lambda _: True, 100)
    assert (event.at, event.slot, event.detail) == (T0, 3, {"state": "PENDING", "lists": ["a", "b"]})


def test_a_bond_that_is_not_ours_is_told_once_it_is():
    """Out of contact nothing is told; the others are told meanwhile, a few at a time."""
    standings, records = Standings(), {f"instrument/{isin}": record("PENDING") for isin in (A, B, C)}
    ours = {f"instrument/{C}"}
    standings.note(records, T0)
    rounds = [standings.events(records, ours.__contains__, 2) for _ in range(3)]
    assert [[event.instrument for event in events] for events in rounds] == [[], [C], []]
    assert standings.changed == 2
    ours |= {f"instrument/{A}", f"instrument/{B}"}
    assert {event.instrument for event in standings.events(records, ours.__contains__, 2)} == {A, B}
    assert standings.changed == 0


def test_what_another_replica_wrote_is_not_told_again():
    """The replica that wrote a record has told what it says."""
    standings = Standings()
    standings.note([f"instrument/{A}"], T0)
    standings.assume({f"instrument/{A}": record("REJECTED")})
    assert standings.changed == 0
    assert told(standings, {A: record("REJECTED")}) == []
    assert told(standings, {A: record("ACTIVE")}) == [("wanted", A, "ACTIVE")]


@pytest.mark.parametrize("lists", [5, "desk", {"desk": 1}, ["desk"]])
def test_a_foreign_record_stops_no_event(lists):
    """A record without a state, or with lists of another type, is told as far as it is readable."""
    standings = Standings()
    standings.note([f"instrument/{A}"], T1)
    (event,) = standings.events({f"instrument/{A}": {"lists": lists}}, lambda _: True, 100)
    assert event.detail == {"state": None, "lists": lists if isinstance(lists, list) else []}
