"""Slot records, dated by our own clock."""

import pytest

from connector.core.status import Heartbeats, is_alive

AHEAD = {"slot/0": {"owner": "two", "alive_at": "2026-01-02T01:00:00Z"}, "list/desk": {"alive_at": "as it is"}}
T0, T1, T2 = "2026-01-02T00:00:00Z", "2026-01-02T00:00:30Z", "2026-01-02T00:01:30Z"


def test_a_record_is_as_old_as_our_clock_says():
    """A slot record counts as written when we read it; other records stay as they are."""
    dated = Heartbeats().dated(AHEAD, T0)
    assert dated == AHEAD | {"slot/0": {"owner": "two", "alive_at": T0}}
    assert is_alive(dated, 0, T1)
    assert not is_alive(dated, 0, T2)


def test_a_record_read_again_is_no_younger():
    """Reading the topic again keeps no silent owner alive; a new record does."""
    heartbeats = Heartbeats()
    heartbeats.dated(AHEAD, T0)
    assert heartbeats.dated(AHEAD, T1)["slot/0"]["alive_at"] == T0
    renewed = {"slot/0": AHEAD["slot/0"] | {"alive_at": "2026-01-02T01:00:30Z"}}
    assert heartbeats.dated(renewed, T1)["slot/0"]["alive_at"] == T1
    assert heartbeats.dated(renewed, T2)["slot/0"]["alive_at"] == T1


def test_a_clock_that_is_ahead_is_told_while_its_owner_lives():
    """What other owners write changes nothing, and a silent owner may be gone."""
    heartbeats = Heartbeats()
    heartbeats.dated(AHEAD, T0)
    heartbeats.dated({"slot/1": {"owner": "three", "alive_at": T0}}, T0)
    assert heartbeats.clocks_ahead(T1) == {"two": 3600.0}
    assert heartbeats.clocks_ahead(T2) == {}


@pytest.mark.parametrize("alive_at", [T0, "2026-01-02T00:01:00Z", 7, None])
def test_only_a_clock_far_ahead_of_ours_can_be_told(alive_at):
    """A clock that is behind cannot be told from a record that was read late."""
    heartbeats = Heartbeats()
    heartbeats.dated({"slot/0": {"owner": "two", "alive_at": alive_at}}, T1)
    assert heartbeats.clocks_ahead(T1) == {}
