"""Slots that this replica takes over."""

import pytest

from connector.app.killed_sessions import KilledSessions

STARTED = "2026-01-02T00:10:00Z"
LEFT = {"state": "CONNECTED", "owner": "other", "since": "2026-01-02T00:00:00Z", "alive_at": "2026-01-02T00:09:00Z"}


@pytest.fixture
def told():
    """Return the looks at slots, and the slots of the events they made."""
    slots = []
    return KilledSessions("me", STARTED, lambda event: slots.append(event.slot), frozenset).look, slots


def test_a_slot_is_looked_at_once(told):
    """As long as we hold a slot, its killed session is told once."""
    look, slots = told
    for _ in range(3):
        look([0, 1], {"slot/1": LEFT})
    assert slots == [1]


def test_a_record_that_appears_later_is_not_an_earlier_owners(told):
    """What the topic says after our first look was written while we held the slot."""
    look, slots = told
    look([0], {})
    look([0], {"slot/0": LEFT})
    assert slots == []


def test_a_slot_that_comes_back_is_looked_at_again(told):
    """A replica that lost a slot tells if the owner in between was killed."""
    look, slots = told
    look([0], {})
    look([], {"slot/0": LEFT})
    assert slots == []
    look([0], {"slot/0": LEFT})
    assert slots == [0]


def test_a_stop_without_kafka_was_no_kill():
    """If our last run told the end, and only its status record is old, nobody was killed."""
    slots = []
    look = KilledSessions("me", STARTED, lambda event: slots.append(event.slot), lambda: {"slot/0", "slot/1"}).look
    look([0, 1, 2], {"slot/0": LEFT | {"owner": "me"}, "slot/1": LEFT, "slot/2": LEFT | {"owner": "me"}})
    assert slots == [1, 2]
