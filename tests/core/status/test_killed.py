"""Sessions that killed connectors left open."""

import jsonschema
import pytest

from connector.core.status import killed_session, stopped
from tests.published import EVENT as SCHEMA

STARTED = "2026-01-02T00:10:00.000Z"
RECORD = {
    "state": "CONNECTED",
    "owner": "me",
    "capacity": 41,
    "registered": 3,
    "since": "2026-01-02T00:00:00.500Z",
    "alive_at": "2026-01-02T00:09:00.750Z",
    "code": None,
    "message": None,
}


def test_an_earlier_run_was_killed():
    """The missing session_down is dated when the killed connector was last seen, and names it."""
    event = killed_session(3, RECORD, "me", STARTED)
    assert event.to_json() == {
        "event": "session_down",
        "at": "2026-01-02T00:09:00.750Z",
        "slot": 3,
        "instrument": None,
        "detail": {
            "owner": "me",
            "cause": "killed",
            "code": None,
            "message": "The connector ended without closing its session",
            "connected_seconds": 540.25,
        },
    }
    jsonschema.validate(event.to_json(), SCHEMA)


@pytest.mark.parametrize("alive_at", [RECORD["alive_at"], STARTED, "2026-01-02T00:11:00Z"])
def test_another_replica_was_killed(alive_at):
    """A session of another owner was left open even if that owner was alive a moment ago."""
    event = killed_session(0, RECORD | {"owner": "other", "alive_at": alive_at}, "me", STARTED)
    assert (event.at, event.detail["owner"]) == (alive_at, "other")


@pytest.mark.parametrize("alive_at", [STARTED, "2026-01-02T00:11:00Z"])
def test_our_own_session_of_this_run_was_not_killed(alive_at):
    """A record that this run wrote is about a session that this run ends itself."""
    assert killed_session(0, RECORD | {"alive_at": alive_at}, "me", STARTED) is None


@pytest.mark.parametrize("state", ["CONNECTING", "BLOCKED", "IDLE", None])
def test_without_an_open_session_nothing_is_missing(state):
    """A slot that is blocked, waits or never connected has no session that lacks its end."""
    assert killed_session(0, RECORD | {"state": state}, "me", STARTED) is None


def test_a_clean_stop_leaves_nothing():
    """After the last record of a clean stop, no session_down is missing."""
    assert killed_session(0, stopped({"slot/0": RECORD}, STARTED)["slot/0"], "me", STARTED) is None


@pytest.mark.parametrize(
    "broken", [{"alive_at": None}, {"alive_at": 7}, {"alive_at": "yesterday"}, {"alive_at": "2026-01-02"}, {"owner": 7}]
)
def test_a_record_of_another_shape_tells_nothing(broken):
    """A record without a usable time or owner makes no event."""
    assert killed_session(0, RECORD | broken, "me", STARTED) is None
    assert killed_session(0, {}, "me", STARTED) is None


@pytest.mark.parametrize("since", [None, "2026-01-02T00:09:30Z", "2026-01-02T00:00:00"])
def test_an_odd_beginning_makes_a_session_of_no_length(since):
    """A beginning that is missing, or after the end, makes no negative length."""
    assert killed_session(0, RECORD | {"since": since}, "me", STARTED).detail["connected_seconds"] == 0
