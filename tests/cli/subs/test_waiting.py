"""Tests of waiting until KIS has confirmed or released bonds."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from connector.cli.subs.waiting import Goal, confirmation, progress
from tests.cli.subs.status_records import accepted, active, alive, refused

A, B = "KR103502GA34", "KR103502GD31"


def test_wait_until_active(cli, variables, written, produce, topics):
    """--wait ends with 0 once the bond is ACTIVE by our own record, not by an older one."""
    produce(topics.control, A, "{}")
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive())

    def connector():
        deadline = time.monotonic() + 60
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
    """--wait ends with 5 and names each bond that is not ACTIVE, with the reason."""
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, f"instrument/{B}", active(9, state="REJECTED", code="OPSP8992", message="INVALID"))
    produce(topics.status, "slot/0", alive())
    result = cli("subs", "add", A, B, "--wait", "3", **variables)
    assert result.exit_code == 5
    assert result.stderr.splitlines() == ["Not ACTIVE within 3 s:", f"{B} is REJECTED: OPSP8992 INVALID"]


def test_wait_ends_when_the_list_is_refused(cli, variables, produce, topics):
    """If the list is refused, the wait ends at once with the reason."""
    produce(topics.status, "list/desk", refused("removal guard: x", 0))
    result = cli("subs", "add", A, "--list", "desk", "--wait", "60", **variables)
    assert result.exit_code == 5
    assert result.stderr.strip() == "List desk was refused: removal guard: x"


def test_long_foreign_text_is_cut_while_waiting():
    """The lines of a wait in vain show a start of others' texts."""
    status = {
        f"instrument/{A}": json.loads(active(0, state="REJECTED", message="w" * 900_000)),
        f"instrument/{B}": json.loads(active(0, lists=["n" * 900_000])),
        "list/desk": json.loads(refused("r" * 900_000, 0)),
    }
    result = progress(status, Goal({"desk": 0}, active={A: 0}, released={B: ["n" * 900_000]}), datetime.now(UTC))
    assert [len(line) < 1200 for line in (*result.missing, *result.failures)] == [True] * 3
    assert result.failures == [f"List desk was refused: {'r' * 1000}… (cut, 900000 characters)"]


def test_a_silent_slot_confirms_nothing(cli, variables, produce, topics):
    """ACTIVE on a slot that has been silent for over 90 s is no confirmation."""
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive("2026-01-02T00:00:00+00:00"))
    result = cli("subs", "add", A, "--wait", "3", **variables)
    assert result.exit_code == 5
    assert f"{A} is DISCONNECTED: slot 0 has been silent since 2026-01-02T00:00:00+00:00" in result.stderr


def test_json_has_the_states_even_after_a_wait_in_vain(cli, variables, produce, topics):
    """With --json a wait in vain prints the rows on stdout and the sentence on stderr."""
    produce(topics.status, f"instrument/{A}", active(0))
    produce(topics.status, "slot/0", alive())
    produce(topics.control, A, "{}")
    result = cli("subs", "add", A, "--wait", "3", "--json", **variables)
    assert result.exit_code == 5
    (row,) = json.loads(result.stdout)["instruments"]
    assert (row["instrument"], row["state"]) == (A, "PENDING")
    assert result.stderr.splitlines()[1] == f"{A} is PENDING: no connector has applied the record at offset 1"


def test_waiting_for_a_removal(cli, variables, written, produce, topics):
    """A removal is waited for until KIS has released the bond or holds it for other lists alone."""
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
        "list desk: no connector has applied the record at offset 1",
    ]

    def connector():
        deadline = time.monotonic() + 60
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
NOT_APPLIED = ["list desk: no connector has applied the record at offset 5"]
SLOT = json.loads(alive(BEFORE.isoformat()))


@pytest.mark.parametrize(
    ("goal", "status", "missing"),
    [
        (Goal({"desk": 5}, removed={"desk": False}), {}, NOT_APPLIED),
        (Goal({"desk": 5}, removed={"desk": False}), {"slot/0": SLOT | {"owner": None, "state": "IDLE"}}, NOT_APPLIED),
        (
            Goal({"desk": 5}, removed={"desk": False}),
            {"slot/0": SLOT | {"alive_at": "2026-01-01T00:00:00Z"}},
            NOT_APPLIED,
        ),
        (Goal({"desk": 5}, removed={"desk": False}), {"slot/0": SLOT | {"alive_at": None}}, NOT_APPLIED),
        (Goal({"desk": 5}, removed={"desk": False}), {"slot/0": SLOT}, []),
        (Goal({"desk": 5}, removed={"desk": True}), {}, []),
        (Goal({"desk": 5}, removed={"desk": True}), {"list/desk": json.loads(accepted([A], 4))}, NOT_APPLIED),
        (Goal({"desk": 5}, reported=["desk"]), {"slot/0": SLOT}, NOT_APPLIED),
        (Goal({"desk": 5}, reported=["desk"]), {"list/desk": json.loads(accepted([], 4))}, NOT_APPLIED),
        (Goal({"desk": 5}, reported=["desk"]), {"list/desk": json.loads(accepted([], 5))}, []),
    ],
)
def test_how_a_record_is_known_to_be_applied(goal, status, missing):
    """A list's status record confirms its record, and the absence of one confirms a tombstone."""
    assert progress(status, goal, NOW).missing == missing


def test_a_bond_that_moves_between_lists():
    """A bond that moved to another written list counts as released by the first."""
    goal = Goal({"desk": 5, "fund": 5}, active={A: 5}, released={A: ["desk"], B: ["desk"]})
    status = {f"instrument/{A}": json.loads(active(6, lists=["fund"])), "slot/0": SLOT}
    result = progress(status, goal, NOW)
    assert (result.missing, confirmation(goal, result)) == (
        [],
        "The connector applied it: 1 released, 0 held for other lists.",
    )
    status[f"instrument/{A}"] = json.loads(active(6, lists=["desk", "fund"]))
    assert progress(status, goal, NOW).missing == [f"{A} is ACTIVE and held for desk, fund"]


def test_a_removal_without_any_connector_is_in_vain(cli, variables, topics):
    """Without any connector a removal is not confirmed by the mere absence of a status record."""
    assert cli("subs", "add", A, **variables).exit_code == 0
    result = cli("subs", "rm", A, "--wait", "2", **variables)
    assert result.exit_code == 5
    assert result.stderr.splitlines() == [
        "Not released within 2 s:",
        f"list {A}: no connector has applied the record at offset 1",
    ]


def test_a_failure_of_kafka_during_the_wait(cli, variables, written, topics):
    """If Kafka fails during the wait, the JSON of the change is printed before the failure."""
    nowhere = variables | {"TOPICS__STATUS": f"{topics.status}.nowhere"}
    result = cli("subs", "add", A, "--wait", "20", "--json", **nowhere)
    assert result.exit_code == 5
    assert json.loads(result.stdout) == {"written": [A], "offset": 0, "warnings": {}, "instruments": []}
    assert "nowhere" in result.stderr
    assert len(written()) == 1
