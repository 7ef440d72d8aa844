"""`kis-bond subs` against a real Kafka."""

import json
import threading
import time
from datetime import UTC, datetime

import pytest

from tests.kafka.reader import create_topics, read_all

A, B = "KR103502GA34", "KR103502GD31"


@pytest.fixture
def topics(kafka, topic_names):
    """Create the control and the status topic."""
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1, topic_names.status: 1}, cleanup_policy="compact")
    return topic_names


@pytest.fixture
def written(kafka, topics):
    """Return what reads the control topic through another client, as (key, value)."""

    def read():
        records = read_all(kafka.bootstrap_servers, topics.control)
        return [(record.key.decode(), None if record.value is None else json.loads(record.value)) for record in records]

    return read


def active(offset, **fields):
    """Return an instrument's status record that reflects a control offset."""
    record = {"state": "ACTIVE", "lists": [], "slot": 0, "since": "s", "code": None, "message": None} | fields
    return json.dumps(record | {"control": {"partition": 0, "offset": offset}})


def alive():
    """Return a slot's status record of this moment."""
    return json.dumps({"state": "CONNECTED", "alive_at": datetime.now(UTC).isoformat()})


def test_add_writes_empty_objects(cli, variables, written):
    """Without a list each bond gets exactly {} under its ISIN."""
    result = cli("subs", "add", A, B, **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    assert written() == [(A, {}), (B, {})]


def test_add_to_a_list_keeps_what_is_there(cli, variables, written, produce, topics):
    """A list's present bonds and other fields stay; who asked and when is noted."""
    produce(topics.control, "desk", json.dumps({"instruments": [A], "priority": 9}))
    assert cli("subs", "add", B, "--list", "desk", **variables).exit_code == 0
    _, (name, value) = written()
    assert (name, value["instruments"], value["priority"]) == ("desk", [A, B], 9)
    assert "@" in value["requested_by"]
    assert value["requested_at"].endswith("Z")


def test_a_malformed_isin_writes_nothing(cli, variables, written):
    """One malformed ISIN among good ones ends with 2, names it, and writes nothing."""
    result = cli("subs", "add", A, "KR103502GA35", **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "KR103502GA35" in result.stderr
    assert written() == []


def test_rm_says_who_still_wants_the_bond(cli, variables, written, produce, topics):
    """Rm tombstones the bond's own record and names the lists that still want it."""
    produce(topics.control, A, "{}")
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    result = cli("subs", "rm", A, **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{A} is still wanted by desk." in result.stdout
    assert written()[-1] == (A, None)


def test_rm_from_a_list(cli, variables, written, produce, topics):
    """Rm with a list takes the bond out of that list."""
    produce(topics.control, "desk", json.dumps({"instruments": [A, B]}))
    result = cli("subs", "rm", A, "--list", "desk", **variables)
    assert f"No list wants {A} any more." in result.stdout
    assert written()[-1][1]["instruments"] == [B]


def test_rm_of_a_list_confirmed(cli, variables, written, produce, topics):
    """Rm of a whole list with --confirm writes a confirmed empty list before the tombstone."""
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    assert cli("subs", "rm", "--list", "desk", "--confirm", **variables).exit_code == 0
    assert written()[1:] == [("desk", {"instruments": [], "confirm_removal": True}), ("desk", None)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rm", A], f"{A} has no record of its own, and no list names it."),
        (["rm", "--list", "nope"], "There is no list nope."),
        (["rm", A, "--list", "nope"], "There is no list nope."),
        (["rm"], "Name at least one ISIN"),
    ],
)
def test_rm_of_what_is_not_there(cli, variables, written, arguments, said):
    """Unknown bonds and lists end with 2 and write nothing."""
    result = cli("subs", *arguments, **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert written() == []


def test_ls(cli, variables, produce, topics):
    """Ls shows state, slot, lists and reason of each wanted bond, as a table or JSON; refused lists are told beside it."""
    produce(topics.control, "desk", json.dumps({"instruments": [A, B]}))
    produce(topics.status, f"instrument/{A}", active(0, lists=["desk"]))
    produce(topics.status, "slot/0", alive())
    produce(topics.status, "list/bad", json.dumps({"state": "REFUSED", "reason": "the value is not JSON"}))
    table = cli("subs", "ls", **variables)
    assert table.exit_code == 0
    lines = [line.split() for line in table.stdout.splitlines()]
    assert lines[0] == ["instrument", "state", "slot", "since", "lists", "why"]
    assert lines[1][:5] == [A, "ACTIVE", "0", "s", "desk"]
    assert lines[2][:5] == [B, "PENDING", "-", "-", "desk"]
    assert table.stderr.strip() == "List bad was refused: the value is not JSON"
    report = json.loads(cli("subs", "ls", "--json", **variables).stdout)
    assert [(row["instrument"], row["state"]) for row in report["instruments"]] == [(A, "ACTIVE"), (B, "PENDING")]
    assert report["refused_lists"] == {"bad": "the value is not JSON"}


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
    produce(
        topics.status, "list/desk", json.dumps({"state": "REFUSED", "reason": "removal guard: x", "control": {"partition": 0, "offset": 0}})
    )
    result = cli("subs", "add", A, "--list", "desk", "--wait", "60", **variables)
    assert result.exit_code == 5
    assert result.stderr.strip() == "List desk was refused: removal guard: x"


@pytest.mark.parametrize("arguments", [["ls"], ["add", A], ["add", A, "--list", "desk"], ["rm", A]])
def test_kafka_away(cli, arguments):
    """Kafka out of reach ends with 5 and a sentence that names its address."""
    result = cli("subs", *arguments, KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["ls"], ["add", A], ["rm", A]])
def test_missing_topics(cli, variables, arguments):
    """Without the topics the message says how to make them."""
    result = cli("subs", *arguments, **variables)
    assert result.exit_code == 5
    assert "kis-bond topics init" in result.stderr
