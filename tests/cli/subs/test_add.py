"""`kis-bond subs add` against a real Kafka."""

import json
from datetime import UTC, datetime

A, B = "KR103502GA34", "KR103502GD31"


def test_add_writes_empty_objects(cli, variables, written):
    """Without a list each bond gets exactly {} under its ISIN."""
    result = cli("subs", "add", A, B, **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    assert written() == [(A, {}), (B, {})]


def test_add_to_a_list_keeps_what_is_there(cli, variables, written, produce, topics):
    """A list's present bonds, its other fields and its place among the waiting stay; who asked is noted."""
    produce(topics.control, "desk", json.dumps({"instruments": [A], "priority": 9, "requested_at": "2026-01-02T03:04:05Z"}))
    assert cli("subs", "add", B, "--list", "desk", **variables).exit_code == 0
    _, (name, value) = written()
    assert (name, value["instruments"], value["priority"]) == ("desk", [A, B], 9)
    assert "@" in value["requested_by"]
    assert value["requested_at"] == "2026-01-02T03:04:05Z"


def test_a_new_list_is_asked_for_from_now_on(cli, variables, written):
    """Its first record says when."""
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
    """--json tells the lists written and the offset, and nothing else."""
    result = cli("subs", "add", A, B, "--json", **variables)
    assert json.loads(result.stdout) == {"written": [A, B], "offset": 0, "warnings": {}}
    assert len(written()) == 2
