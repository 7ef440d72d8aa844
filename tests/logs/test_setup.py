"""Log lines: their form, their cleanliness, and a stdout nobody reads."""

import json
import logging
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog

from connector import logs
from connector.logs import setup
from connector.settings import LogSettings


@pytest.fixture
def lines():
    """Give a function that configures logs and one that returns the lines so far; put everything back at the end."""
    written = []
    root = logging.getLogger()
    level = root.level
    handlers = []

    def configure(**settings):
        handlers.append(logs.configure(LogSettings(**settings), written.append))
        return handlers[-1]

    def read():
        handlers[-1].close()
        return "".join(written).splitlines()

    yield configure, read
    for handler in handlers:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    for name in setup._PINNED:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_and_logger(lines):
    """Each event is one JSON object with its fields, and with its time in UTC and in Seoul."""
    configure, read = lines
    configure()
    structlog.get_logger("connector.feed").warning("session_closed", slot=0, cause="재설정")
    (line,) = read()
    assert "재설정" in line
    event = json.loads(line)
    utc, seoul = event.pop("timestamp"), event.pop("kst")
    assert utc.endswith("Z")
    assert seoul.endswith("+09:00")
    assert abs(datetime.fromisoformat(utc) - datetime.fromisoformat(seoul)) < timedelta(milliseconds=1)
    assert event == {
        "event": "session_closed",
        "slot": 0,
        "cause": "재설정",
        "level": "warning",
        "logger": "connector.feed",
    }


def test_the_level_is_kept(lines):
    """Events below the level are not written, whichever library they come from."""
    configure, read = lines
    configure(level="warning")
    structlog.get_logger("connector.x").info("unseen")
    logging.getLogger("other").info("unseen")
    logging.getLogger("other").warning("seen %s", "here")
    (line,) = read()
    assert json.loads(line)["event"] == "seen here"


def test_console_format(lines):
    """The console form is a readable line instead of JSON."""
    configure, read = lines
    configure(format="console")
    structlog.get_logger("connector.x").info("started", port=1)
    (line,) = read()
    assert "started" in line
    assert not line.startswith("{")


@pytest.mark.parametrize("form", ["json", "console"])
def test_canaries_in_tracebacks_and_fields(lines, form):
    """A secret shows neither as a field, nor nested, nor in a message, nor in a traceback's text or local variables."""
    configure, read = lines
    configure(format=form, level="debug")
    logs.hide("canary-by-value")
    log = structlog.get_logger("connector.x")

    def fail():
        local = "canary-by-value"
        raise RuntimeError(f"with {local} and approval_key=canary-by-shape")

    try:
        fail()
    except RuntimeError:
        log.exception("failed", appkey="canary-by-shape", nested={"deep": [{"appsecret": "canary-by-shape"}]})
        logging.getLogger("library").exception("failed with %s", {"secretkey": "canary-by-shape"})
    text = "\n".join(read())
    assert "RuntimeError" in text
    assert "canary" not in text


def test_talkative_libraries_are_pinned(lines):
    """Websockets and aiokafka do not log at DEBUG, where they show keys, whatever the level set."""
    configure, read = lines
    configure(level="debug")
    for name in ("websockets.client", "aiokafka.conn"):
        logging.getLogger(name).debug("canary")
    structlog.get_logger("connector.x").debug("ours")
    (line,) = read()
    assert json.loads(line)["event"] == "ours"


def test_what_cannot_be_shown_stops_nobody(lines, monkeypatch):
    """A value whose repr raises costs its line, not its caller."""

    class Broken:
        def __repr__(self):
            raise RuntimeError

    configure, read = lines
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would show the value
    configure()
    structlog.get_logger("connector.x").info("odd", value=Broken())
    (line,) = read()
    assert json.loads(line)["event"] == "log_line_unreadable"


def test_a_blocked_writer_drops_and_counts(lines, monkeypatch):
    """While nobody reads, callers do not wait: lines beyond the queue are dropped, counted, and told of afterwards."""
    monkeypatch.setattr(setup, "_LINES_WAITING", 5)
    blocked, written = threading.Event(), []

    def write(text):
        blocked.wait()
        written.append(text)

    handler = logs.configure(LogSettings(), write)
    log = structlog.get_logger("connector.x")
    for number in range(50):
        log.info("event", number=str(number))
    assert handler.dropped >= 44
    blocked.set()
    configure, _ = lines
    configure()  # replaces the handler, and so drains it
    told = [json.loads(line) for line in written]
    assert any(line["event"] == "log_lines_dropped" and line["total"] == handler.dropped for line in told)


def test_a_process_ends_though_stdout_is_blocked():
    """A pipe nobody reads neither blocks the logging program nor its exit."""
    program = (
        "import structlog; from connector import logs; from connector.settings import LogSettings;"
        "logs.configure(LogSettings()); log = structlog.get_logger('connector.x');"
        "[log.info('event', number=str(number), filler='x' * 1000) for number in range(500)]"
    )
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE)
        _, errors = process.communicate(timeout=60)
    finally:
        os.close(reader)
        os.close(writer)
    assert (process.returncode, errors) == (0, b"")


def test_repeats_are_limited_to_one_a_minute(lines, monkeypatch):
    """Of ours and of a library's lines that say the same, whatever numbers they give, one a minute is written; then the rest is told."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(setup.time, "monotonic", lambda: clock.now)
    configure, read = lines
    handler = configure()
    library, ours = logging.getLogger("aiokafka.cluster"), structlog.get_logger("connector.x")
    for node in range(5):
        library.error("Unable to connect to node with id %s", node)
        ours.warning("session_closed", slot=0, cause="handshake", wait_seconds=node / 7)
    ours.warning("session_closed", slot=1, cause="handshake", wait_seconds=1.0)
    ours.warning("session_closed", slot=0, cause="reset", wait_seconds=1.0)
    assert handler.repeated == 8
    assert logs.lines_left_out() == {"dropped": 0, "repeated": 8}
    clock.now += 60
    library.error("Unable to connect to node with id %s", 9)
    told = [json.loads(line) for line in read()]
    assert [
        (line["event"], line.get("slot"), line.get("cause")) for line in told if line["event"] != "repeats_left_out"
    ] == [
        ("Unable to connect to node with id 0", None, None),
        ("session_closed", 0, "handshake"),
        ("session_closed", 1, "handshake"),
        ("session_closed", 0, "reset"),
        ("Unable to connect to node with id 9", None, None),
    ]
    left_out = {line["of"]: line for line in told if line["event"] == "repeats_left_out"}
    assert {of: (line["repeated"], line["level"]) for of, line in left_out.items()} == {
        "Unable to connect to node with id %s": (4, "error"),
        "session_closed": (4, "warning"),
    }
    assert (left_out["session_closed"]["slot"], left_out["session_closed"]["cause"]) == ("0", "handshake")


def test_different_errors_are_no_repeats(lines):
    """Two exceptions under one message are both written, the same one once."""
    configure, read = lines
    configure()
    for text in ("one", "two", "one"):
        try:
            int(text)
        except ValueError as error:
            logging.getLogger("library").exception("failed")
            structlog.get_logger("connector.x").error("bug", exc_info=error)
    events = [json.loads(line)["event"] for line in read()]
    assert events == ["failed", "bug", "failed", "bug", "repeats_left_out", "repeats_left_out"]


def test_repeats_left_out_are_told_of_at_the_end(lines):
    """What was left out in the last minute of a run is told of before it ends."""
    configure, read = lines
    configure()
    for _ in range(3):
        structlog.get_logger("connector.x").info("said")
    assert [json.loads(line)["event"] for line in read()] == ["said", "repeats_left_out"]


def test_stdout_gets_the_lines(capfd):
    """Text goes to the process's stdout whole."""
    logs.write_to_stdout("줄\n")
    assert capfd.readouterr().out == "줄\n"
