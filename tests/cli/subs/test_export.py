"""Tests of `kis-bond subs export` with a real Kafka."""

import json
import os
import subprocess
import sys

A, B = "KR103502GA34", "KR103502GD31"


def test_what_is_exported_applies_without_a_difference(cli, variables, written, produce, topics):
    """The exported file, read back from standard input, changes nothing; names stay names."""
    produce(topics.control, "no", json.dumps({"instruments": [B, A], "priority": 7, "note": "국고: ~"}))
    produce(topics.control, A, "{}")
    produce(topics.control, "rest", json.dumps({"instruments": [], "paused": True, "confirm_removal": True}))
    result = cli("subs", "export", **variables)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "confirm_removal" not in result.stdout
    environ = os.environ | {f"KIS_BOND_{name}": str(value) for name, value in variables.items()}
    command = [sys.executable, "-m", "connector", "subs", "apply", "-f", "-", "--prune"]
    applied = subprocess.run(command, input=result.stdout, env=environ, capture_output=True, text=True, check=False)
    assert (applied.returncode, applied.stdout) == (0, "= 3 unchanged\nNothing differs.\n"), applied.stderr
    assert len(written()) == 3


def test_one_list_as_json(cli, variables, produce, topics):
    """--list exports one list, --json as JSON; an unknown list ends with 2."""
    produce(topics.control, "desk", json.dumps({"instruments": [A], "requested_at": "2026-01-02T03:04:05Z"}))
    produce(topics.control, B, "{}")
    result = cli("subs", "export", "--list", "desk", "--json", **variables)
    assert json.loads(result.stdout) == {"desk": {"instruments": [A], "requested_at": "2026-01-02T03:04:05Z"}}
    assert cli("subs", "export", "--list", "nope", **variables).exit_code == 2


def test_a_single_list_named_lists_applies(cli, variables, produce, topics, tmp_path):
    """The file's own word for its lists is a name like any other."""
    produce(topics.control, "lists", json.dumps({"instruments": [A]}))
    (path := tmp_path / "lists.yaml").write_text(cli("subs", "export", **variables).stdout)
    assert cli("subs", "apply", "-f", str(path), "--prune", **variables).stdout == "= 1 unchanged\nNothing differs.\n"


def test_a_list_that_no_file_can_hold_is_left_out(cli, variables, produce, topics):
    """Half a surrogate pair in one list spoils none of the others."""
    produce(topics.control, "odd", '{"instruments": ["KR103502GA34"], "note": "\\ud800"}')
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    result = cli("subs", "export", "--json", **variables)
    assert json.loads(result.stdout) == {"desk": {"instruments": [A]}}
    assert result.stderr == "List odd holds half a surrogate pair, which no file can hold: it is left out.\n"
