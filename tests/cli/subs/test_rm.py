"""Tests of `kis-bond subs rm` with a real Kafka."""

import json

import pytest

from connector.core.bonds.isin import with_check_digit
from tests.cli.subs.status_records import refused

A, B = "KR103502GA34", "KR103502GD31"


def test_rm_says_who_still_wants_the_bond(cli, variables, written, produce, topics):
    """Rm writes a tombstone for the bond's own record and names the lists that still want it."""
    produce(topics.control, A, "{}")
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    result = cli("subs", "rm", A, **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{A} is still wanted by desk." in result.stdout
    assert written()[-1] == (A, None)


def test_rm_from_a_list(cli, variables, written, produce, topics):
    """Rm with a list removes the bond from that list."""
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
def test_rm_of_something_unknown(cli, variables, written, arguments, said):
    """An unknown bond or list ends with 2, and nothing is written."""
    result = cli("subs", *arguments, **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert written() == []


MANY = [with_check_digit(f"KR{number:09}") for number in range(12)]


def test_rm_that_the_guard_would_hold_back_writes_nothing(cli, variables, written, produce, topics):
    """Dropping all twelve bonds without --confirm ends with 2, and nothing is written."""
    produce(topics.control, "desk", json.dumps({"instruments": MANY}))
    result = cli("subs", "rm", "--list", "desk", **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "would have left 0 of 12 bonds" in result.stderr
    assert "--confirm" in result.stderr
    assert len(written()) == 1
    assert cli("subs", "rm", "--list", "desk", "--confirm", **variables).exit_code == 0
    assert written()[-1] == ("desk", None)


def test_rm_confirms_a_removal_that_is_held_back(cli, variables, written, produce, topics):
    """--confirm releases a tombstone that the connector holds back."""
    produce(topics.status, "list/desk", refused("removal guard: x", 1, MANY))
    result = cli("subs", "rm", "--list", "desk", **variables)
    assert result.exit_code == 2
    assert "is held back already" in result.stderr
    assert cli("subs", "rm", "--list", "desk", "--confirm", **variables).exit_code == 0
    assert written() == [("desk", {"instruments": [], "confirm_removal": True}), ("desk", None)]


def test_rm_as_json(cli, variables, produce, topics):
    """--json names the lists that still want each bond."""
    produce(topics.control, A, "{}")
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    result = json.loads(cli("subs", "rm", A, "--json", **variables).stdout)
    assert result == {"written": [A], "offset": 2, "still_wanted_by": {A: ["desk"]}}


def test_rm_sees_what_stays_in_force(cli, variables, written, produce, topics):
    """For a list with a removal held back its old bonds count, so rm needs --confirm."""
    produce(topics.control, "desk", '{"instruments": []}')
    produce(topics.status, "list/desk", refused("removal guard: x", 0, MANY))
    result = cli("subs", "rm", "--list", "desk", **variables)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "would have left 0 of 12 bonds" in result.stderr
    assert len(written()) == 1


def test_rm_of_a_list_that_the_connector_ignores(cli, variables, written, produce, topics):
    """Rm with --wait works for a key so long that it names no list; here no connector runs."""
    name = "x" * 1001
    produce(topics.control, name, "{}")
    result = cli("subs", "rm", "--list", name, "--wait", "0.2", **variables)
    assert result.exit_code == 5
    assert written()[-1] == (name, None)


def test_rm_of_a_list_with_an_odd_name(cli, variables, written, produce, topics):
    """A name is matched exactly first, and without what surrounds it if there is no such list."""
    for name in ("desk", "desk\r"):
        produce(topics.control, name, json.dumps({"instruments": [A]}))
    for _ in range(2):
        assert cli("subs", "rm", "--list", "desk\r", "--confirm", **variables).exit_code == 0
    assert [name for name, value in written() if value is None] == ["desk\r", "desk"]
