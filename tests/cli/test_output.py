"""Tests of what commands print, and of streams that cannot take it."""

import io
import json
import os
import subprocess
import sys
import termios

import pytest

from connector.cli.output import print_json, remark
from tests.bond_rows import sample
from tests.cli.subs.status_records import alive
from tests.kafka.reader import create_topics, read_all

KEYS = {"KIS_BOND_KIS__APPKEY": "k", "KIS_BOND_KIS__APPSECRET": "s"}
ENCODINGS = ["latin-1", "euc-kr", "ascii", "utf-8"]


@pytest.fixture
def master(tmp_path):
    """Return a bond master file with Korean names."""
    (path := tmp_path / "bond_code.mst").write_bytes(sample())
    return path


def shell(line, **environ):
    """Run a line in which K is the command, in bash; its exit code is that of the command."""
    line = line.replace("K ", f"{sys.executable} -m connector ") + "; exit ${PIPESTATUS[0]}"
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, check=False, timeout=60, env=os.environ | KEYS | environ
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_survives_any_encoding(monkeypatch, encoding):
    """JSON can be read back whatever the encoding of stdout is."""
    value = {"name": "국고채 é 😀"}
    stream = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    print_json(value)
    assert json.loads(stream.buffer.getvalue().decode(encoding)) == value


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_table_in_any_encoding(master, encoding):
    """Characters that stdout cannot show are escaped, and the columns still line up."""
    done = shell(f"K bonds search KR --from {master}", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    heading, *rows = done.stdout.decode(encoding).splitlines()
    assert len(rows) == 4
    if encoding in {"latin-1", "ascii"}:
        assert "\\uad6d\\uace0" in rows[0]
        assert {row[heading.index("issued") - 2 :][:2] for row in rows} == {"  "}


@pytest.mark.parametrize(
    "command",
    ["check", "check --json", "--version", "--help", "subs add --help", "simulate --list-faults", "simulate", "bonds"],
)
def test_a_full_disk_is_a_sentence(command, master):
    """A command that cannot write stdout says so in a sentence and ends with 5."""
    command = f"bonds search KR --from {master}" if command == "bonds" else command
    done = shell(f"K {command} > /dev/full")
    assert done.returncode == 5
    assert done.stderr.decode().splitlines()[-1] == "The output could not be written: No space left on device."
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check", "check --json", "--help", "simulate --list-faults", "bonds"])
def test_a_reader_that_stops_early(command, master):
    """A command ends quietly with 0 if its reader stops early, as head does."""
    command = f"bonds search KR --from {master}" if command == "bonds" else command
    done = shell(f"K {command} | true")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


@pytest.mark.parametrize("to", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(("command", "code"), [("check", 0), ("subs rm", 2), ("subs add", 2)])
def test_an_unwritable_stderr_changes_no_exit_code(command, code, to):
    """A message that stderr cannot take is dropped, and the exit code stays the same."""
    assert shell(f"K {command} {to}").returncode == code


def test_a_closed_stdout():
    """A command whose stdout is closed ends as usual."""
    assert shell("K check >&-").returncode == 0


def test_a_remark_is_for_a_person_at_a_terminal(capsys, monkeypatch):
    """A remark appears on a terminal's stderr, and a script gets none."""
    remark("Waiting.")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    remark("Waiting.")
    assert capsys.readouterr() == ("", "Waiting.\n")


@pytest.fixture
def environ(kafka, topic_names, variables, produce):
    """Return the variables of topics that hold one wanted bond and one bad tick."""
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1, topic_names.status: 1}, cleanup_policy="compact")
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 1})
    produce(topic_names.control, "KR103502GA34", "{}")
    for _ in range(50):
        produce(topic_names.ticks, "KR103502GA34", b"bad")
    return {f"KIS_BOND_{name}": str(value) for name, value in variables.items()}


@pytest.mark.parametrize(
    "command", ["subs ls", "subs ls --json", "subs watch", "tail --from-beginning", "tail --from-beginning --json"]
)
def test_kafka_commands_and_their_readers(environ, topic_names, produce, command):
    """A command on Kafka ends with 0 if its reader stops early, and with 5 on a full disk."""
    produce(topic_names.status, "slot/0", alive())
    for reader in ("true", "head -n 1"):
        done = shell(f"K {command} | {reader}", **environ)
        assert (done.returncode, done.stderr) == (0, b"")
    done = shell(f"K {command} > /dev/full", **environ)
    assert (done.returncode, done.stderr) == (5, b"The output could not be written: No space left on device.\n")


def test_a_change_is_made_without_a_reader(environ, kafka, topic_names, tmp_path):
    """A command that changes lists does and waits for all it was asked to, even if nobody reads."""
    (path := tmp_path / "lists.yaml").write_text("desk: [KR103502GD31]")
    assert shell(f"K subs apply -f {path} | true", **environ).returncode == 0
    keys = [record.key for record in read_all(kafka.bootstrap_servers, topic_names.control)]
    assert keys == [b"KR103502GA34", b"desk"]
    for command in ("add KR103502GD31", "rm KR103502GA34", f"apply -f {path}"):
        done = shell(f"K subs {command} --wait 1 | true", **environ)
        assert (done.returncode, b" within 1 s:" in done.stderr) == (5, True)


def test_a_sentence_is_broken_between_words_on_a_terminal():
    """A terminal gets sentences in lines that end between words; a pipe gets each as one line."""
    program = (
        "from connector.cli import output\n"
        "with output.guarded_streams():\n"
        "    output.say('a KR103502GA34 ' * 5 + 'b\\nc', err=True)\n"
        "    output.print_line('d ' * 30)"
    )
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    subprocess.run([sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=environ, check=True)
    lines = os.read(ours, 1_000).decode().split("\r\n")
    assert lines == [
        "a KR103502GA34 a KR103502GA34 a",
        "KR103502GA34 a KR103502GA34 a",
        "KR103502GA34 b\\nc",
        "d " * 30,
        "",
    ]
    for each in (ours, theirs):
        os.close(each)
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environ, check=True)
    assert piped.stderr.decode() == "a KR103502GA34 " * 5 + "b\\nc\n"


@pytest.mark.parametrize(("environ", "width"), [({}, 137), ({"COLUMNS": "0"}, 137), ({"COLUMNS": "44"}, 44)])
def test_the_width_is_that_of_the_terminal(environ, width):
    """Tables fit the terminal that stdout is, also behind the streams that commands print to."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 137))
    program = (
        "import sys\nfrom connector.cli import output\n"
        "with output.guarded_streams(): print(output.terminal_width(sys.stdout))"
    )
    plain = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    subprocess.run([sys.executable, "-c", program], stdout=theirs, env=plain | environ, check=True)
    assert os.read(ours, 100).decode().strip() == str(width)
    os.close(ours)
    os.close(theirs)
