"""Tests of `kis-bond subs lists` with a real Kafka."""

import json

from tests.cli.subs.status_records import refused

A, B = "KR103502GA34", "KR103502GD31"


def test_lists(cli, variables, produce, topics):
    """Each list is a row with its bonds, priority, note, whether it is paused, and its refusal."""
    produce(topics.control, "desk", json.dumps({"instruments": [A, B], "priority": 7, "note": "국고 데스크"}))
    produce(topics.control, "rest", json.dumps({"instruments": [A], "paused": True}))
    produce(topics.control, "bad", "nonsense")
    produce(topics.status, "list/bad", refused("x", 2))
    result = cli("subs", "lists", **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    heading, bad, desk, rest = result.stdout.splitlines()
    assert heading.split() == ["list", "bonds", "priority", "paused", "note", "refused"]
    assert bad.split()[:4] == ["bad", "0", "-", "-"]
    assert desk.split() == ["desk", "2", "7", "-", "국고", "데스크"]
    assert rest.split() == ["rest", "1", "5", "paused"]
    found = json.loads(cli("subs", "lists", "--json", **variables).stdout)["lists"]
    assert [each["list"] for each in found] == ["bad", "desk", "rest"]
    assert (found[1]["instruments"], found[1]["note"], found[1]["refused"]) == ([A, B], "국고 데스크", None)
    assert found[0]["refused"]


def test_no_list(cli, variables, topics):
    """Without a list, stderr says how to make one."""
    assert "There is no list yet" in cli("subs", "lists", **variables).stderr
