"""Which slots this process runs, and their states."""

from types import SimpleNamespace

import pytest

from connector.app.metrics.sessions import _differ
from tests.app.metrics.samples import samples


def test_a_slot_is_in_one_state():
    """Exactly one of a slot's states is 1."""
    value = samples()
    states = {
        state: value["kis_bond_slot_state", (("slot", "0"), ("state", state))]
        for state in ("CONNECTED", "CONNECTING", "BLOCKED", "IDLE")
    }
    assert states == {"CONNECTED": 1, "CONNECTING": 0, "BLOCKED": 0, "IDLE": 0}


def test_slots_others_run_are_not_owned():
    """Every slot has a sample that says whether this process runs it."""
    value = samples()
    assert [value["kis_bond_slot_owned", (("slot", str(slot)),)] for slot in range(3)] == [1, 0, 0]


def test_a_standby_shows_what_it_has():
    """Without any slot there are no session metrics, but all the others."""
    value = samples(slots=SimpleNamespace(feeds={}, app_keys=3, group=SimpleNamespace(difference=None)))
    assert [value["kis_bond_slot_owned", (("slot", str(slot)),)] for slot in range(3)] == [0, 0, 0]
    assert not [name for name, labels in value if name == "kis_bond_session_up"]


def test_a_slot_without_a_tick_has_a_time_long_ago():
    """Before the first tick the time is 0, so that an alert on silence can begin at the start."""
    assert samples()["kis_bond_last_tick_timestamp_seconds", (("slot", "0"),)] == 0


@pytest.mark.parametrize(
    ("difference", "ahead", "expected"), [(None, {}, (0, 0)), ("two has 3 app keys", {"two": 31.0}, (1, 1))]
)
def test_replicas_that_differ_are_told(difference, ahead, expected):
    """Other app keys and a clock that is ahead count apart."""
    plan = SimpleNamespace(clocks_ahead=ahead)
    found = _differ(SimpleNamespace(slots=SimpleNamespace(group=SimpleNamespace(difference=difference)), plan=plan))
    assert (found["settings"], found["clock"]) == expected


def test_a_slot_that_asks_one_by_one_shows():
    """The gauge is 1 while the slot's requests are slowed."""
    assert samples()["kis_bond_requests_slowed", (("slot", "0"),)] == 1
