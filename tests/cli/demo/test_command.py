"""Tests of the command `demo` as a process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from connector.cli.demo import command
from connector.cli.demo.ledger import Ledger
from connector.cli.demo.run import Outcome

FIGURES = ("sent", "received", "delivered", "read_back")


@pytest.fixture
def start(tmp_path):
    """Return a function that starts the command with its files in the test's folder."""
    running = []

    def run(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "connector", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path), "COLUMNS": "200", "FORCE_COLOR": "1"},
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def test_json_summary(start, tmp_path):
    """It ends with 0, prints one JSON object with equal counts, and leaves no files."""
    process = start("--seconds", "3", "--json", "--bonds", "4")
    output, _ = process.communicate(timeout=60)
    summary = json.loads(output)
    assert process.returncode == 0
    assert len({summary[name] for name in FIGURES}) == 1
    assert summary["sent"] > 20
    assert (summary["lost"], summary["duplicates"], summary["differences"]) == (0, 0, [])
    assert list(tmp_path.iterdir()) == []


def test_real_kafka(start, kafka):
    """On a real Kafka it ends with 0 and equal counts, in topics of its own."""
    process = start("--seconds", "3", "--json", "--bootstrap-servers", kafka.bootstrap_servers)
    output, errors = process.communicate(timeout=90)
    summary = json.loads(output)
    assert process.returncode == 0
    assert len({summary[name] for name in FIGURES}) == 1
    assert summary["topics"]["ticks"].startswith("demo-")
    assert "stay until somebody deletes them" in errors


def test_the_commands_it_prints_work(start):
    """The printed commands reach the demo: an added bond becomes active and its ticks are read."""
    process = start("--bonds", "1")
    lines = [process.stdout.readline().strip() for _ in range(6)]
    name, _, value = lines[1].removeprefix("export ").partition("=")
    environment = os.environ | {name: value}
    add, ls, tail = (line.partition(" -m connector ")[2].split() for line in lines[2:5])
    for arguments in ((*add, "--wait", "10"), (*ls, "--json"), (*tail, "--count", "1", "--isin", add[-1])):
        done = subprocess.run(
            [sys.executable, "-m", "connector", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        assert add[-1] in done.stdout
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Every tick sent was received, delivered and read back." in output
    assert "\x1b[" not in output


def test_a_difference_ends_with_1(cli, monkeypatch, tmp_path):
    """A difference is printed on stderr and ends with 1, and the files stay and are named."""
    ledger = Ledger(
        frames=9, sent=9, received=9, delivered=9, dead_lettered=0, pending=0, read_back=8, duplicates=0, unreadable=0
    )

    async def run(*_):
        return Outcome(ledger, ledger.differences(), {})

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = cli("demo")
    assert result.exit_code == 1
    assert "an independent consumer read back 8" in result.stderr
    (folder,) = tmp_path.iterdir()
    assert str(folder) in result.stderr
    assert "Every tick" not in result.stdout


def test_an_unexpected_end_keeps_the_files(cli, monkeypatch, tmp_path):
    """A bug in the run ends with 1, and the message names the folder with the log."""

    async def run(*_):
        raise LookupError("a bug")

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = cli("demo")
    assert result.exit_code == 1
    assert str(next(tmp_path.iterdir())) in result.stderr


def test_missing_client(cli, monkeypatch):
    """Without confluent-kafka it ends with 2 before anything is started."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    result = cli("demo")
    assert result.exit_code == 2
    assert "install the built file with its extra demo" in result.stderr


def test_unreachable_kafka(start, tmp_path):
    """A Kafka that does not answer ends it with 5, and no files are left."""
    process = start("--bootstrap-servers", "127.0.0.1:1", "--seconds", "2")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "127.0.0.1:1" in errors
    assert list(Path(tmp_path).iterdir()) == []


def test_an_unknown_fault(cli):
    """An unknown fault ends it with 2, and the message names the fault."""
    result = cli("demo", "--fault", "rain")
    assert result.exit_code == 2
    assert "rain" in result.stderr


@pytest.mark.parametrize(
    ("options", "line", "code", "errors"),
    [
        ("--seconds 1", "> /dev/full", 5, "The output could not be written: No space left on device.\n"),
        ("--seconds 1 --json", "> /dev/full", 5, "The output could not be written: No space left on device.\n"),
        ("", "| head -n 1", 0, ""),
    ],
)
def test_an_output_that_cannot_be_written(tmp_path, options, line, code, errors):
    """A full disk ends the demo with 5, a reader that stops ends it with 0, and no files remain."""
    command = f"{sys.executable} -m connector demo --bonds 1 {options} {line}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code
    assert done.stderr.endswith(errors) if errors else done.stderr == ""
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
