"""Tests of `kis-bond subs pause` and `resume` with a real Kafka."""

import json

from connector.core.bonds.isin import with_check_digit
from tests.cli.subs.status_records import accepted, refused

A = "KR103502GA34"


def test_a_list_is_paused_and_resumed(cli, variables, written, produce, topics):
    """A pause keeps the list's other fields, and what is so already is not written again."""
    produce(topics.control, "desk", json.dumps({"instruments": [A], "priority": 7, "note": "x"}))
    assert cli("subs", "pause", "desk", **variables).stdout == "List desk was paused.\n"
    assert cli("subs", "pause", "desk", **variables).stdout == "List desk is paused already. Nothing was written.\n"
    result = cli("subs", "resume", "desk", "--json", **variables)
    assert json.loads(result.stdout) == {"list": "desk", "paused": False, "written": True, "offset": 2}
    values = [value for _, value in written()]
    assert [value.get("paused") for value in values] == [None, True, False]
    assert {(*value["instruments"], value["priority"], value["note"]) for value in values} == {(A, 7, "x")}


def test_an_unknown_list(cli, variables, written):
    """An unknown list ends with 2, and nothing is written."""
    result = cli("subs", "pause", "nope", **variables)
    assert (result.exit_code, result.stderr) == (2, "There is no list nope. Nothing was written.\n")
    assert written() == []


def test_a_large_pause_needs_a_confirmation(cli, variables, written, produce, topics):
    """A pause that the removal guard would hold back is written only with --confirm."""
    many = [with_check_digit(f"KR{number:09}") for number in range(12)]
    produce(topics.control, "desk", json.dumps({"instruments": many}))
    produce(topics.status, "list/desk", accepted(many, 0))
    result = cli("subs", "pause", "desk", **variables)
    assert result.exit_code == 2
    assert "removal guard" in result.stderr
    assert cli("subs", "pause", "desk", "--confirm", **variables).exit_code == 0
    assert [(value.get("paused"), value.get("confirm_removal")) for _, value in written()[1:]] == [(True, True)]


def test_a_pause_that_was_held_back_can_be_confirmed(cli, variables, written, produce, topics):
    """What the guard holds back is not in force, so the list is not paused already."""
    many = [with_check_digit(f"KR{number:09}") for number in range(12)]
    produce(topics.control, "desk", json.dumps({"instruments": many}))
    produce(topics.control, "desk", json.dumps({"instruments": many, "paused": True}))
    produce(topics.status, "list/desk", refused("held back by the removal guard", 1, many))
    result = cli("subs", "pause", "desk", "--confirm", **variables)
    assert (result.exit_code, result.stdout) == (0, "List desk was paused.\n")
    assert written()[-1][1]["confirm_removal"] is True
