"""Tests of `kis-bond subs add` with a real Kafka."""

import json
from datetime import UTC, datetime

from connector.core.bonds.isin import with_check_digit
from tests.cli.subs.status_records import active, alive, refused

A, B = "KR103502GA34", "KR103502GD31"


def test_add_writes_empty_objects(cli, variables, written):
    """Without a list each bond gets exactly {} under its ISIN."""
    result = cli("subs", "add", A, B, **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    assert written() == [(A, {}), (B, {})]


def test_add_to_a_list_keeps_what_is_there(cli, variables, written, produce, topics):
    """A list keeps its bonds, other fields and first request time; who asked is recorded."""
    produce(
        topics.control, "desk", json.dumps({"instruments": [A], "priority": 9, "requested_at": "2026-01-02T03:04:05Z"})
    )
    assert cli("subs", "add", B, "--list", "desk", **variables).exit_code == 0
    _, (name, value) = written()
    assert (name, value["instruments"], value["priority"]) == ("desk", [A, B], 9)
    assert "@" in value["requested_by"]
    assert value["requested_at"] == "2026-01-02T03:04:05Z"


def test_a_new_list_is_requested_now(cli, variables, written):
    """The first record of a list has the present time as its request time."""
    before = datetime.now(UTC).replace(microsecond=0)
    assert cli("subs", "add", A, "--list", "desk", **variables).exit_code == 0
    ((_, value),) = written()
    assert before <= datetime.fromisoformat(value["requested_at"]) <= datetime.now(UTC)


def test_a_malformed_isin_writes_nothing(cli, variables, written):
    """One malformed ISIN among good ones ends with 2, names it, and writes nothing."""
    result = cli("subs", "add", A, "KR103502GA35", **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "KR103502GA35" in result.stderr
    assert written() == []


def test_add_as_json(cli, variables, written):
    """--json has the lists written, the offset and the warnings, and nothing else."""
    result = cli("subs", "add", A, B, "--json", **variables)
    assert json.loads(result.stdout) == {"written": [A, B], "offset": 0, "warnings": {}}
    assert len(written()) == 2


MANY = [with_check_digit(f"KR{number:09}") for number in range(12)]


def test_add_that_the_guard_would_hold_back_writes_nothing(cli, variables, written, produce, topics):
    """Adding to a list with a removal held back would drop its bonds, so nothing is written."""
    produce(topics.control, "desk", '{"instruments": []}')
    produce(topics.status, "list/desk", refused("removal guard: x", 0, MANY))
    result = cli("subs", "add", A, "--list", "desk", **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "List desk: removal guard: this record would have left 1 of 12" in result.stderr
    assert "Nothing was written. Write the whole list: kis-bond subs apply, with --confirm" in result.stderr
    assert len(written()) == 1


def test_a_bond_of_a_paused_list_is_not_waited_for(cli, variables, written, produce, topics):
    """A bond of a paused list is added, and the wait ends at once unless another list wants it."""
    produce(topics.control, "desk", json.dumps({"instruments": [], "paused": True}))
    produce(topics.control, B, "{}")
    produce(topics.status, f"instrument/{B}", active(9, lists=[B]))
    produce(topics.status, "slot/0", alive())
    result = cli("subs", "add", A, B, "--list", "desk", "--wait", "600", "--json", **variables)
    assert result.exit_code == 5
    assert result.stderr == f"{A} cannot become ACTIVE: list desk is paused, and no other list wants it.\n"
    assert [(row["instrument"], row["why"]) for row in json.loads(result.stdout)["instruments"]] == [
        (A, "list desk is paused")
    ]
    assert written()[-1][1]["instruments"] == [A, B]
    assert cli("subs", "add", B, "--list", "desk", "--wait", "20", **variables).exit_code == 0


def test_the_name_of_a_list_is_trimmed(cli, variables, written):
    """A line end that a shell left on the name makes no other list; an invisible one is refused."""
    assert cli("subs", "add", A, "--list", " desk\r", **variables).exit_code == 0
    result = cli("subs", "add", A, "--list", "de\rsk", **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "The list name de\\rsk holds U+000D, which cannot be seen" in result.stderr
    assert [name for name, _ in written()] == ["desk"]
