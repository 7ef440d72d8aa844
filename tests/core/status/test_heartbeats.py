"""How long the owners of slots are silent, by our own clock."""

import pytest

from connector.core.status import SILENT_SECONDS, Heartbeats

CLOCK = "2026-01-02T00:00:00Z"
AHEAD = {"slot/0": {"owner": "two", "alive_at": "2026-01-02T01:00:00Z"}, "list/desk": {"alive_at": "as it is"}}
SOON, LATE = 30.0, SILENT_SECONDS


@pytest.fixture
def heartbeats():
    """Return what was noted when a record of slot 0 was first read, at 0."""
    made = Heartbeats()
    made.note(AHEAD, 0.0, CLOCK)
    return made


def test_an_owner_is_silent_without_a_new_record_by_our_clock(heartbeats):
    """A slot record counts as written when we read it; a slot without a record is silent."""
    assert heartbeats.silent([0, 1], LATE - 0.1) == {1}
    assert heartbeats.silent([0, 1], LATE) == {0, 1}
    assert heartbeats.silent([0], LATE, seconds=120.0) == frozenset()


@pytest.mark.parametrize(
    ("found", "is_silent"),
    [
        (AHEAD, True),
        ({"slot/0": AHEAD["slot/0"] | {"alive_at": "2026-01-02T01:00:30Z"}}, False),
        ({"slot/0": AHEAD["slot/0"] | {"alive_at": "2026-01-02T00:50:00Z"}}, False),  # its clock was set back
        ({"slot/0": None}, True),
    ],
)
def test_only_a_new_record_ends_a_silence(heartbeats, found, is_silent):
    """Reading the topic again keeps no silent owner alive, and a tombstone neither."""
    heartbeats.note(found, SOON, CLOCK)
    assert heartbeats.silent([0], LATE) == ({0} if is_silent else frozenset())
    heartbeats.note(found, LATE, CLOCK)
    assert heartbeats.silent([0], SOON + LATE) == {0}


def test_a_clock_that_is_ahead_is_told_while_its_owner_lives(heartbeats):
    """What other owners write changes nothing, and a silent owner may be gone."""
    heartbeats.note({"slot/1": {"owner": "three", "alive_at": CLOCK}}, 0.0, CLOCK)
    assert heartbeats.clocks_ahead(SOON) == {"two": 3600.0}
    assert heartbeats.clocks_ahead(LATE) == {}


def test_a_slot_without_an_owner_has_no_clock(heartbeats):
    """An owner whose clock is ahead left its slot: nobody is told of an owner without a name."""
    heartbeats.note({"slot/0": {"owner": None, "alive_at": "2026-01-02T02:00:00Z"}}, 0.0, CLOCK)
    assert heartbeats.clocks_ahead(SOON) == {}


@pytest.mark.parametrize("alive_at", [CLOCK, "2026-01-02T00:01:00Z", 7, None])
def test_only_a_clock_far_ahead_of_ours_can_be_told(alive_at):
    """A clock that is behind cannot be told from a record that was read late."""
    heartbeats = Heartbeats()
    heartbeats.note({"slot/0": {"owner": "two", "alive_at": alive_at}}, 0.0, "2026-01-02T00:00:30Z")
    assert heartbeats.clocks_ahead(SOON) == {}
