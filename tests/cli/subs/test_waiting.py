"""Waiting until KIS confirmed bonds."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from connector.cli.subs.waiting import Goal, look, taken_up
from tests.cli.subs.status_records import accepted, active, alive, refused

A, B = "KR103502GA34", "KR103502GD31"


def test_wait_until_active(cli, variables, written, produce, topics):
    """--wait ends with 0 once the status topic says ACTIVE of our own record, and an older ACTIVE does not count."""
    produce(topics.control, A, "{}")
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive())

    def connector():
        deadline = time.monotonic() + 30
        while len(written()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        produce(topics.status, f"instrument/{A}", active(1))

    thread = threading.Thread(target=connector)
    thread.start()
    result = cli("subs", "add", A, "--wait", "30", **variables)
    thread.join()
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{A} is ACTIVE." in result.stdout


def test_wait_in_vain(cli, variables, produce, topics):
    """--wait ends with 5, naming the bonds that are not ACTIVE and why."""
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, f"instrument/{B}", active(9, state="REJECTED", code="OPSP8992", message="INVALID"))
    produce(topics.status, "slot/0", alive())
    result = cli("subs", "add", A, B, "--wait", "3", **variables)
    assert result.exit_code == 5
    assert result.stderr.splitlines() == ["Not ACTIVE within 3 s:", f"{B} is REJECTED: OPSP8992 INVALID"]


def test_wait_ends_when_the_list_is_refused(cli, variables, produce, topics):
    """A refused list cannot become ACTIVE, so waiting ends at once with the reason."""
    produce(topics.status, "list/desk", refused("removal guard: x", 0))
    result = cli("subs", "add", A, "--list", "desk", "--wait", "60", **variables)
    assert result.exit_code == 5
    assert result.stderr.strip() == "List desk was refused: removal guard: x"


def test_a_silent_slot_confirms_nothing(cli, variables, produce, topics):
    """ACTIVE on a slot whose record is older than 90 s is no confirmation."""
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive("2026-01-02T00:00:00+00:00"))
    result = cli("subs", "add", A, "--wait", "3", **variables)
    assert result.exit_code == 5
    assert f"{A} is DISCONNECTED: slot 0 has been silent since 2026-01-02T00:00:00+00:00" in result.stderr


def test_json_tells_the_states_also_in_vain(cli, variables, produce, topics):
    """A script gets the rows on stdout, and the sentence stays on stderr."""
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive())
    produce(topics.control, A, "{}")
    result = cli("subs", "add", A, "--wait", "3", "--json", **variables)
    assert result.exit_code == 5
    (row,) = json.loads(result.stdout)["instruments"]
    assert (row["instrument"], row["state"]) == (A, "PENDING")
    assert result.stderr.splitlines()[1] == f"{A} is PENDING: no connector has taken up the record at offset 1"


def test_a_removal_is_waited_for_until_the_bond_is_released(cli, variables, written, produce, topics):
    """A bond that KIS still holds for the list or for nobody is not released; one that other lists hold is no longer the list's."""
    produce(topics.control, "desk", json.dumps({"instruments": [A, B]}))
    produce(topics.status, "list/desk", accepted([A, B], 0))
    produce(topics.status, f"instrument/{A}", active(0, lists=["desk"]))
    produce(topics.status, f"instrument/{B}", active(0, lists=[]))
    produce(topics.status, "slot/0", alive())
    result = cli("subs", "rm", "--list", "desk", "--wait", "3", **variables)
    assert result.exit_code == 5
    assert result.stderr.splitlines() == [
        "Not released within 3 s:",
        f"{A} is ACTIVE and held for desk",
        f"{B} is ACTIVE and being released",
        "list desk: no connector has taken up the record at offset 1",
    ]

    def connector():
        deadline = time.monotonic() + 30
        while len(written()) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)
        produce(topics.status, f"instrument/{A}", active(0, lists=["other"]))
        produce(topics.status, f"instrument/{B}", None)
        produce(topics.status, "list/desk", None)

    produce(topics.control, "desk", json.dumps({"instruments": [A, B]}))
    thread = threading.Thread(target=connector)
    thread.start()
    result = cli("subs", "rm", "--list", "desk", "--wait", "30", **variables)
    thread.join()
    assert (result.exit_code, result.stderr) == (0, "")
    assert "1 released, 1 held for other lists" in result.stdout


NOW = datetime(2026, 1, 2, tzinfo=UTC)
BEFORE = NOW - timedelta(seconds=10)
BEHIND = ["list desk: no connector has taken up the record at offset 5"]
SLOT = json.loads(alive(BEFORE.isoformat()))


@pytest.mark.parametrize(
    ("goal", "status", "missing"),
    [
        (Goal({"desk": 5}, removed={"desk": False}), {}, BEHIND),
        (Goal({"desk": 5}, removed={"desk": False}), {"slot/0": SLOT | {"owner": None, "state": "IDLE"}}, BEHIND),
        (Goal({"desk": 5}, removed={"desk": False}), {"slot/0": SLOT | {"alive_at": "2026-01-01T00:00:00Z"}}, BEHIND),
        (Goal({"desk": 5}, removed={"desk": False}), {"slot/0": SLOT | {"alive_at": None}}, BEHIND),
        (Goal({"desk": 5}, removed={"desk": False}), {"slot/0": SLOT}, []),
        (Goal({"desk": 5}, removed={"desk": True}), {}, []),
        (Goal({"desk": 5}, removed={"desk": True}), {"list/desk": json.loads(accepted([A], 4))}, BEHIND),
        (Goal({"desk": 5}, reported=["desk"]), {"slot/0": SLOT}, BEHIND),
        (Goal({"desk": 5}, reported=["desk"]), {"list/desk": json.loads(accepted([], 4))}, BEHIND),
        (Goal({"desk": 5}, reported=["desk"]), {"list/desk": json.loads(accepted([], 5))}, []),
    ],
)
def test_what_tells_that_a_record_was_taken_up(goal, status, missing):
    """A report as of it; for a tombstone that a report went, or, where none stood there before, that a connector lives."""
    assert look(status, goal, NOW).missing == missing


def test_a_bond_that_moves_is_let_go_by_the_list_that_loses_it_alone():
    """Held for the list that gains it, which was written too, it is no removal in vain."""
    goal = Goal({"desk": 5, "fund": 5}, active={A: 5}, released={A: ["desk"], B: ["desk"]})
    status = {f"instrument/{A}": json.loads(active(6, lists=["fund"])), "slot/0": SLOT}
    waited = look(status, goal, NOW)
    assert (waited.missing, taken_up(goal, waited)) == (
        [],
        "The connector took it up: 1 released, 0 held for other lists.",
    )
    status[f"instrument/{A}"] = json.loads(active(6, lists=["desk", "fund"]))
    assert look(status, goal, NOW).missing == [f"{A} is ACTIVE and held for desk, fund"]


def test_a_removal_without_any_connector_is_in_vain(cli, variables, topics):
    """That the status topic says nothing of a list is no sign of a connector that took its removal up."""
    assert cli("subs", "add", A, **variables).exit_code == 0
    result = cli("subs", "rm", A, "--wait", "2", **variables)
    assert result.exit_code == 5
    assert result.stderr.splitlines() == [
        "Not released within 2 s:",
        f"list {A}: no connector has taken up the record at offset 1",
    ]


def test_kafka_failing_while_waiting_is_told_after_what_was_written(cli, variables, written, topics):
    """The change stands, so a script gets its JSON, and the failure on stderr with 5."""
    nowhere = variables | {"TOPICS__STATUS": f"{topics.status}.nowhere"}
    result = cli("subs", "add", A, "--wait", "20", "--json", **nowhere)
    assert result.exit_code == 5
    assert json.loads(result.stdout) == {"written": [A], "offset": 0, "warnings": {}, "instruments": []}
    assert "nowhere" in result.stderr
    assert len(written()) == 1
