"""Tests of `kis-bond subs watch`."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest

from connector.cli.subs.watch import changes
from connector.core.status.rows import Row
from tests.cli.subs.status_records import active, alive, refused
from tests.kafka.reader import create_topics

A, B = "KR103502GA34", "KR103502GD31"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def row(state, slot=0, why=""):
    """Return a row of bond A."""
    return Row(A, state, slot, "2026-01-02T00:00:00Z", ("desk",), why, 7)


def test_the_line_of_a_change():
    """A line names both states, the slot, the lists and the reason."""
    assert changes({A: row("PENDING")}, {A: row("ACTIVE")}, {}, NOW, as_json=False)[0].split()[2:] == [
        *(A, "PENDING", "->", "ACTIVE", "slot", "0", "desk"),
    ]
    assert changes({}, {A: row("REJECTED", None, "OPSP8992")}, {}, NOW, as_json=False)[0].split()[2:] == [
        A,
        "REJECTED",
        "desk",
        "OPSP8992",
    ]
    assert changes({A: row("ACTIVE")}, {}, {}, NOW, as_json=False)[0].endswith(
        "was released: no list wants it any more"
    )
    assert changes({A: row("ACTIVE")}, {A: row("ACTIVE")}, {}, NOW, as_json=False) == []


def test_times_are_those_of_seoul():
    """A line begins with the time in Seoul, whatever the machine's zone is."""
    assert changes({}, {A: row("ACTIVE")}, {}, NOW, as_json=False)[0].startswith("09:00:00 KST  ")


def test_long_foreign_text_is_cut():
    """A line shows 200 characters of a list's name and 1,000 of another text; JSON stays whole."""
    long = replace(row("S" * 9_000, why="w" * 900_000), lists=("n" * 900_000,))
    (line,) = changes({}, {A: long}, {}, NOW, as_json=False)
    assert f"  {'n' * 200}… (cut, 900000 characters)  {'w' * 1000}… (cut, 900000 characters)" in line
    assert len(line) < 2500
    (line,) = changes({A: long}, {}, {A: long}, NOW, as_json=False)
    assert len(line) < 400
    (line,) = changes({}, {A: long}, {}, NOW, as_json=True)
    assert len(json.loads(line)["why"]) == 900_000


def test_json_lines_hold_the_row_or_null():
    """Each JSON line is the row of a bond, with state null if it is gone."""
    assert json.loads(changes({}, {A: row("ACTIVE")}, {}, NOW, as_json=True)[0])["state"] == "ACTIVE"
    assert json.loads(changes({A: row("ACTIVE")}, {}, {}, NOW, as_json=True)[0]) == {"instrument": A, "state": None}


def test_a_bond_that_left_the_list():
    """The line of a bond that left the list names the lists that still want it, if any do."""
    elsewhere = replace(row("ACTIVE"), lists=("fund", "other"))
    (line,) = changes({A: row("ACTIVE")}, {}, {A: elsewhere}, NOW, as_json=False)
    assert line.endswith(f"{A}  left the list; still wanted by fund, other")
    (line,) = changes({A: row("ACTIVE")}, {}, {A: elsewhere}, NOW, as_json=True)
    assert (json.loads(line)["state"], json.loads(line)["lists"]) == ("ACTIVE", ["fund", "other"])
    (line,) = changes({A: row("ACTIVE")}, {}, {A: replace(elsewhere, lists=())}, NOW, as_json=True)
    assert json.loads(line) == {"instrument": A, "state": None}


def test_an_unknown_list(cli, variables, topics):
    """An unknown list ends with 2, so that a mistyped name is not watched in silence."""
    result = cli("subs", "watch", "--list", "nope", **variables)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "There is no list nope.\n")


def test_changes_appear_as_they_happen(variables, produce, topics):
    """Watch prints present states, then changes and refusals; Ctrl-C ends it with 130."""
    environ = os.environ | {f"KIS_BOND_{name}": str(value) for name, value in variables.items()}
    produce(topics.control, "desk", json.dumps({"instruments": [A]}))
    command = [sys.executable, "-m", "connector", "subs", "watch", "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            first = json.loads(process.stdout.readline())
            assert (first["instrument"], first["state"]) == (A, "PENDING")
            produce(topics.status, "slot/0", alive())
            produce(topics.status, f"instrument/{A}", active(0, lists=["desk"]))
            assert json.loads(process.stdout.readline())["state"] == "ACTIVE"
            produce(topics.status, "list/bad", refused("not JSON", 1))
            assert json.loads(process.stdout.readline()) == {"list": "bad", "refused": "not JSON"}
            process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert process.returncode == 130
        finally:
            process.kill()


@pytest.mark.slow
def test_kafka_going_away_is_said(own_kafka, topic_names):
    """Watch says on stderr why it sees no further changes, and a wait in vain says so, too."""
    create_topics(
        own_kafka.bootstrap_servers, {topic_names.control: 1, topic_names.status: 1}, cleanup_policy="compact"
    )
    names = {f"KIS_BOND_TOPICS__{name.upper()}": topic for name, topic in asdict(topic_names).items()}
    environ = os.environ | names | {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers}
    command = [sys.executable, "-m", "connector", "subs"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environ}
    with (
        subprocess.Popen([*command, "watch"], **pipes) as watch,
        subprocess.Popen([*command, "add", A, "--wait", "45"], **pipes) as add,
    ):
        try:
            assert A in add.stdout.readline()
            assert A in watch.stdout.readline()
            own_kafka.stop()
            # The client notices within 30 s that its fetches are not answered.
            assert topic_names.status.removesuffix("status") in watch.stderr.readline()
            _, errors = add.communicate(timeout=90)
            assert topic_names.status in errors.splitlines()[-1]
        finally:
            watch.kill()
            add.kill()
