"""Which fact caused a hole."""

import pytest

from connector.core.coverage.dates import rfc3339
from connector.core.coverage.facts import Facts
from connector.core.coverage.window import Window
from tests.core.coverage.trades import ISIN, at


def event(kind, time, *, slot=0, instrument=None, **detail):
    """Return an event at a time in Seoul."""
    return {"event": kind, "at": rfc3339(at(time)), "slot": slot, "instrument": instrument, "detail": detail}


def window(start="10:00:00", end="10:10:00", slots=(0,)):
    """Return the window of a hole."""
    return Window(ISIN, frozenset(slots), at(start), at(end))


def facts(*events):
    """Return the facts after events."""
    made = Facts()
    for each in events:
        made.event(each)
    return made


def test_nothing_known_is_unknown():
    """The session was up and nothing explains the hole."""
    assert facts().cause(window()) == "unknown"


DOWN, UP = event("session_down", "10:02:00", cause="reset"), event("session_up", "10:03:00")


@pytest.mark.parametrize(
    ("start", "end", "cause"),
    [
        ("10:00:00", "10:10:00", "reset"),
        ("10:02:30", "10:02:40", "reset"),
        ("10:00:00", "10:02:00", "reset"),
        ("10:03:00", "10:10:00", "reset"),
        ("10:00:00", "10:01:59", "unknown"),
        ("10:03:01", "10:10:00", "unknown"),
    ],
)
def test_a_session_that_was_down_in_the_window_is_the_cause(start, end, cause):
    """The session's end counts from its first to its last moment."""
    assert facts(DOWN, UP).cause(window(start, end)) == cause


def test_only_the_slots_of_the_neighbours_count():
    """Another slot's session says nothing about this bond."""
    assert facts(DOWN, UP).cause(window(slots=[1])) == "unknown"
    assert facts(DOWN, UP).cause(window(slots=[1, 0])) == "reset"


def test_a_session_that_is_still_down_is_the_cause():
    """A bond that moved to another slot did so because of it."""
    assert facts(DOWN).cause(window("10:30:00", "11:00:00")) == "reset"


def test_failed_tries_do_not_hide_why_the_session_ended():
    """The first cause stays until the session is up again."""
    made = facts(DOWN, event("session_down", "10:02:10", cause="refused"), UP)
    assert made.cause(window("10:02:20", "10:10:00")) == "reset"


def test_a_session_that_nothing_ended_was_killed():
    """Of two beginnings in a row, the first was killed before its record could say so."""
    again = event("session_up", "10:05:00")
    made = facts(DOWN, UP, again)
    assert made.cause(window("10:04:00", "10:10:00")) == "killed"
    assert made.cause(window("10:05:01", "10:10:00")) == "unknown"
    assert made.cause(window("10:00:00", "10:02:30")) == "reset"


def test_events_that_come_twice_kill_no_session():
    """A killed connector's events may be written again by the next one, also after later ones."""
    ended = event("session_down", "10:06:00", cause="closed")
    later = event("session_up", "10:07:00")
    for told in (
        [DOWN, UP, UP],
        [DOWN, UP, ended, later, UP],
        [DOWN, UP, ended, later, UP, event("session_up", "11:00")],
    ):
        assert facts(*told).cause(window("10:03:30", "10:05:00")) == "unknown"


@pytest.mark.parametrize("silent", [float("nan"), float("inf"), 1e308, -5, True, "60", None, [60]])
def test_a_silence_that_is_no_number_of_seconds_counts_as_none(silent):
    """Anyone may write an event; JSON readers take NaN for a number."""
    made = facts(event("registration_lost", "10:20:00", instrument=ISIN, silent_seconds=silent))
    assert made.cause(window("10:00:00", "10:19:58")) == "unknown"
    assert made.cause(window("10:00:00", "10:21:00")) == "registration_lost"


@pytest.mark.parametrize("state", [["REJECTED"], {"a": 1}, 5, None])
def test_a_strange_state_of_a_wanted_bond_is_none(state):
    """A list is no state, and stops nobody."""
    made = facts(event("wanted", "09:00:00", instrument=ISIN, state=state))
    assert made.cause(window()) == "unknown"


def test_before_a_slots_first_session_nothing_was_running():
    """A slot whose first event is session_up had no session before."""
    made = facts(event("session_up", "10:03:00"))
    assert made.cause(window("09:00:00", "10:10:00")) == "not_running"
    assert made.cause(window("10:03:01", "10:10:00")) == "unknown"


def test_the_fact_nearest_to_the_start_is_the_cause():
    """Of several, the one that began first in the window, or before it."""
    loss = event("loss", "10:01:30", **{"from": rfc3339(at("10:01:00")), "to": None, "reason": "disk"})
    assert facts(DOWN, UP, loss).cause(window()) == "disk"
    assert facts(DOWN, UP, loss).cause(window("10:01:31", "10:10:00")) == "reset"


def test_in_the_same_second_a_session_comes_before_a_silent_slot():
    """A stop writes its event and its last status record at the same time."""
    made = facts(event("session_down", "10:02:00", cause="stop"))
    made.slot_alive(0, at("10:02:00") - 5)
    made.slot_alive(0, at("10:08:00"))
    assert made.cause(window()) == "stop"


def test_a_loss_without_times_happened_when_it_was_reported():
    """The times of damaged frames are not known."""
    made = facts(event("loss", "10:01:30", **{"from": None, "to": None, "reason": "corrupt"}))
    assert made.cause(window()) == "corrupt"
    assert made.cause(window("10:01:31")) == "unknown"


def test_a_dead_letter_of_the_bond_is_a_cause():
    """The dead-letter topic holds the bond at that time."""
    made = facts()
    made.dead_letter(ISIN, at("10:05"))
    made.dead_letter("KR6095572D81", at("10:01"))
    assert made.cause(window()) == "dead_letter"
    assert made.cause(window("10:05:01")) == "dead_letter"
    assert made.cause(window("10:05:02")) == "unknown"


def test_a_lost_registration_began_with_the_bonds_silence():
    """The event tells how long the bond had been silent."""
    made = facts(event("registration_lost", "10:20:00", instrument=ISIN, silent_seconds=660.0))
    assert made.cause(window()) == "registration_lost"
    assert made.cause(window("10:00:00", "10:08:59")) == "unknown"


def test_a_bond_that_was_not_wanted_has_no_missing_trades():
    """`wanted_since` ends the time for which nobody asked."""
    made = facts()
    made.wanted_since(ISIN, at("10:05"))
    assert made.cause(window()) == "not_wanted"
    assert made.cause(window("10:05:01")) == "unknown"


def test_events_tell_when_a_bond_was_not_wanted_or_had_no_room():
    """The key of these events is the bond."""
    made = facts(
        event("wanted", "08:00:00", slot=None, instrument=ISIN, state="PENDING"),
        event("unwanted", "10:01:00", slot=None, instrument=ISIN),
        event("wanted", "10:02:00", slot=None, instrument=ISIN, state="WAITING_CAPACITY"),
    )
    assert made.cause(window("10:00:00")) == "not_wanted"
    assert made.cause(window("10:02:01")) == "not_registered"
    assert made.cause(window("09:00:00", "10:00:59")) == "unknown"


def test_a_slot_silent_for_more_than_90_seconds_was_not_running():
    """A status record comes every 30 seconds."""
    made = facts()
    for time in ("10:00:30", "10:02:00", "10:03:31"):
        made.slot_alive(0, at(time))
    assert made.cause(window("10:00:00", "10:01:59")) == "unknown"
    assert made.cause(window("10:00:00", "10:03:00")) == "not_running"


def test_a_slot_that_fell_silent_for_good_was_not_running_if_others_are_heard():
    """Without any newer record it may be the auditor that does not read on."""
    made = facts()
    made.slot_alive(0, at("10:01"))
    made.slot_alive(1, at("10:02"))
    assert made.cause(window(slots=[0, 1])) == "unknown"
    made.slot_alive(1, at("10:03"))
    assert made.cause(window(slots=[0, 1])) == "not_running"
    assert made.cause(window(slots=[1])) == "unknown"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"event": "session_down", "at": "soon", "slot": 0, "instrument": None, "detail": {"cause": "reset"}},
        {**DOWN, "slot": "0"},
        {**DOWN, "detail": []},
        {"event": "wanted", "at": DOWN["at"], "slot": None, "instrument": None, "detail": {}},
    ],
)
def test_an_event_that_is_not_one_is_ignored(wrong):
    """Anyone may write to the topic."""
    assert facts(wrong).cause(window()) == "unknown"


def test_foreign_text_is_no_cause():
    """A cause goes into records and onto terminals."""
    for text in ("\x1b[31m", "a" * 41, 5, None, ""):
        assert facts(event("session_down", "10:02:00", cause=text)).cause(window()) == "unknown"


def test_the_version_changes_with_each_fact():
    """Holes are looked at again when something new is known, and only then."""
    made = Facts()
    versions = [made.version]
    for learn in (
        lambda: made.event(DOWN),
        lambda: made.wanted_since(ISIN, at("10:05")),
        lambda: made.dead_letter(ISIN, at("10:05")),
        lambda: made.slot_alive(0, at("10:00")) or made.slot_alive(0, at("10:05")),
    ):
        learn()
        versions.append(made.version)
    assert versions == sorted(set(versions))
    made.wanted_since(ISIN, at("10:05"))
    made.slot_alive(0, at("10:05:30"))
    assert made.version == versions[-1]


def test_facts_that_ended_long_ago_are_forgotten():
    """Memory is in the facts of the days that may still get holes."""
    made = facts(DOWN, UP, event("session_down", "10:04:00", cause="closed"))
    made.dead_letter(ISIN, at("10:01"))
    made.forget(at("10:03:30"))
    assert made.cause(window("10:00:00")) == "closed"
    assert made.cause(window("10:00:00", "10:03:59")) == "unknown"


def test_facts_of_what_is_no_bond_are_not_kept():
    """Anyone may write an event or a dead letter with any key, and any number of them."""
    made = facts(*(event(kind, "10:00:00", instrument="x" * 9) for kind in ("registration_lost", "wanted", "unwanted")))
    made.dead_letter("x" * 9, at("10:00"))
    assert made.cause(Window("x" * 9, frozenset(), at("09:00"), at("11:00"))) == "unknown"


def test_the_number_of_partitions_in_use_is_told():
    """It is no interruption, but it comes with the same events."""
    assert facts(event("partitions_changed", "10:00", before=6, after=8, adopted=True)).partition_counts.in_use == 8
