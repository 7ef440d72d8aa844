"""Tests that text of others is shown as text: it neither acts on a terminal nor forges a line."""

import json
import os
import signal
import subprocess
import sys

import pytest
from confluent_kafka import Producer

from connector.cli import check_peers
from connector.cli.output import print_json, say
from connector.cli.subs.waiting import WaitResult
from connector.cli.table import print_table
from connector.core.printable import printable
from connector.errors import NotInTime
from tests.bond_rows import row
from tests.cli.subs.status_records import active, alive, refused
from tests.cli.test_tail import framed
from tests.kafka.reader import QUIET, create_topics

A, B = "KR103502GA34", "KR103502GD31"
# Line breaks that would forge a row of B, OSC 52 (sets the clipboard), colours in 7 and 8 bits, a
# line separator, a character that turns the direction of text, an invisible one, and Rich markup.
EVIL = f"x\n{B}  ACTIVE\r\x1b]52;c;aGk=\x07\x1b[31m\x9b31m\u2028\u202e\u200b[red]y[/red] :smile:"


def check_output(output, lines=None):
    """Check that an output has only printable lines, and none of the forged bond B."""
    shown = output.split("\n")
    assert shown.pop() == ""
    assert [line for line in shown if printable(line) != line] == []
    assert [line for line in shown if line.startswith(B)] == []
    assert "[red]y[/red] :smile:" in output
    assert lines is None or len(shown) == lines


def test_a_line(capsys):
    """A line with foreign text stays one line."""
    say(EVIL)
    check_output(capsys.readouterr().out, 1)


def test_a_table(capsys, monkeypatch):
    """A cell with foreign text stays in its row."""
    monkeypatch.setenv("COLUMNS", "200")
    print_table(("name", "why"), [(EVIL, EVIL)])
    check_output(capsys.readouterr().out, 2)


def test_json(capsys):
    """JSON escapes what a terminal would act on, and the value is unchanged."""
    value = {EVIL: EVIL + "\x7f\U000e0001국고"}
    print_json(value)
    output = capsys.readouterr().out
    check_output(output, 1)
    assert json.loads(output) == value
    assert "국고" in output


def test_reasons_of_a_wait():
    """Each reason in the message of a wait in vain stays one line."""
    for result, lines in ((WaitResult((), [EVIL]), 2), (WaitResult((), (), [EVIL]), 1)):
        with pytest.raises(NotInTime) as failed:
            result.require("ACTIVE", 3)
        check_output(f"{failed.value}\n", lines)


@pytest.mark.parametrize("command", [["subs", "add"], ["subs", "rm"], ["tail", "--isin"]])
def test_an_invisible_character_in_an_isin(cli, command):
    """A refusal shows an invisible character of an ISIN as an escape."""
    result = cli(*command, f"{A}\u200b")
    assert result.exit_code == 2
    assert f"{A}U+200B is not an ISIN" in result.stderr


def test_names_of_bonds(cli, tmp_path):
    """An invisible letter in a bond's name is shown as an escape, and markup as text."""
    file = tmp_path / "master"
    file.write_bytes(row(name="[red]x\u3164y"))
    result = cli("bonds", "search", "", "--from", str(file))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "[red]xU+3164y" in result.stdout


def test_findings_of_check(cli, tmp_path, monkeypatch):
    """A peer's text with a line break forges no line of check."""

    async def fail(*_):
        raise NotInTime(EVIL)

    monkeypatch.setattr(check_peers.topics, "find_differences", fail)
    away = {"KIS__APPROVAL_URL": "http://127.0.0.1:1/x", "KIS__WEBSOCKET_URL": "ws://127.0.0.1:1"}
    keys = {"KIS__APPKEY": "k", "KIS__APPSECRET": "s", "JOURNAL__PATH": tmp_path / "j.db"}
    check_output(cli("check", "--connect", **keys, **away).stdout)


@pytest.fixture
def evil(kafka, variables, topic_names):
    """Return the variables of topics with foreign text wherever Kafka's users can write it."""
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1, topic_names.status: 1}, cleanup_policy="compact")
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 1})
    producer = Producer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers})
    wish = {"instruments": [A], "note": EVIL, "requested_by": EVIL}
    rejected = active(0, state="REJECTED", slot=None, code=EVIL, message=EVIL, lists=[EVIL])
    for topic, key, value in (
        (topic_names.control, EVIL, json.dumps(wish)),
        (topic_names.control, A, "{}"),
        (topic_names.status, f"instrument/{A}", rejected),
        (topic_names.status, "slot/0", alive()),
        (topic_names.status, f"list/{EVIL}2", refused(EVIL, 1)),
        (topic_names.ticks, A, framed(A)),
        (topic_names.ticks, EVIL, b"bad"),
    ):
        producer.produce(topic, key=key, value=value)
    assert producer.flush(20) == 0
    return variables


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ls"], 0),
        (["ls", "--json"], 0),
        (["ls", "--wait", "2"], 5),
        (["ls", "--list", f"{EVIL}3"], 2),
        (["add", A, "--list", EVIL], 2),
        (["rm", A], 0),
        (["rm", A, "--list", EVIL], 0),
        (["rm", A, "--wait", "2"], 0),
        (["rm", "--list", EVIL, "--wait", "2"], 5),
        (["apply", "--prune", "--dry-run"], 0),
        (["apply", "--prune", "--wait", "2"], 5),
        (["apply", "--dry-run", "--json"], 0),
    ],
)
def test_subs(cli, evil, tmp_path, arguments, code):
    """Names of lists, reasons and texts of KIS are shown as text by the `subs` commands."""
    (path := tmp_path / "lists.json").write_text(json.dumps({f"{EVIL}3": {"instruments": [A], "note": EVIL}}))
    file = ["-f", str(path)] if arguments[0] == "apply" else []
    result = cli("subs", *arguments, *file, **evil)
    assert result.exit_code == code, result.stderr
    check_output(result.output)


def test_tail(cli, evil):
    """The key of a bad record is shown as text by tail."""
    for options in ([], ["--json"]):
        result = cli("tail", "--from-beginning", "--count", "2", *options, **evil)
        assert (result.exit_code, result.stderr) == (0, "")
        assert [line for line in result.stdout.splitlines() if printable(line) != line] == []
        assert len(result.stdout.splitlines()) == (2 if options else 3)


def test_watch(evil):
    """Watch shows foreign text as text, in lines and in JSON."""
    environ = os.environ | {f"KIS_BOND_{name}": str(value) for name, value in evil.items()}
    for options in ([], ["--json"]):
        command = [sys.executable, "-m", "connector", "subs", "watch", *options]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, encoding="utf-8") as process:
            output = process.stdout.readline() + process.stdout.readline()
            process.send_signal(signal.SIGINT)
            process.wait(20)
        check_output(output, 2)
        assert A in output
