"""Log lines: their form, their secrets, and a blocked stdout."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog

from connector import logs
from connector.logs import setup
from connector.settings import LogSettings
from tests.cpu_time import TRIES, is_within


@pytest.fixture
def lines():
    """Give a function that configures logs and one that ends them and returns the lines."""
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
    for name in setup._NEVER_DEBUG:
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_and_logger(lines):
    """Each event is one JSON object with its fields and one time, in UTC."""
    configure, read = lines
    configure()
    structlog.get_logger("connector.feed").warning("session_closed", slot=0, cause="재설정")
    (line,) = read()
    assert "재설정" in line
    event = json.loads(line)
    at = event.pop("timestamp")
    assert at.endswith("Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(minutes=5)
    assert event == {
        "event": "session_closed",
        "slot": 0,
        "cause": "재설정",
        "level": "warning",
        "logger": "connector.feed",
    }


def test_the_level_applies(lines):
    """Events below the level are not written, ours or another library's."""
    configure, read = lines
    configure(level="warning")
    structlog.get_logger("connector.x").info("unseen")
    logging.getLogger("other").info("unseen")
    logging.getLogger("other").warning("seen %s", "here")
    (line,) = read()
    assert json.loads(line)["event"] == "seen here"


def test_console_format(lines):
    """The console form is a readable line, not JSON, and begins with the time in Seoul."""
    configure, read = lines
    configure(format="console")
    structlog.get_logger("connector.x").info("started", port=1)
    (line,) = read()
    assert "started" in line
    assert not line.startswith("{")
    at, _, _ = line.partition(" ")
    assert at.endswith("+09:00")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(minutes=5)


@pytest.mark.parametrize("form", ["json", "console"])
def test_canaries_in_tracebacks_and_fields(lines, form):
    """No secret shows: in a field, nested, in a message, in a traceback or its local variables."""
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


def test_libraries_that_log_keys_stay_above_debug(lines):
    """Websockets and aiokafka never log at DEBUG, where they show keys."""
    configure, read = lines
    configure(level="debug")
    for name in ("websockets.client", "aiokafka.conn"):
        logging.getLogger(name).debug("canary")
    structlog.get_logger("connector.x").debug("ours")
    (line,) = read()
    assert json.loads(line)["event"] == "ours"


def test_a_value_without_a_repr_costs_only_its_line(lines, monkeypatch):
    """If the repr of a value raises, a short line replaces it, and the caller goes on."""

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
    """If stdout blocks, callers do not wait: lines beyond the queue are dropped and counted."""
    monkeypatch.setattr(setup, "_MAX_QUEUED_LINES", 5)
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
    configure()  # replaces the handler, which writes its last lines
    events = [json.loads(line) for line in written]
    assert any(event["event"] == "log_lines_dropped" and event["total"] == handler.dropped for event in events)


def test_a_slow_stdout_gets_the_last_lines(lines, monkeypatch):
    """While lines are still being written, the end waits for them."""
    monkeypatch.setattr(setup, "_CLOSE_SECONDS", 0.2)
    written = []

    def write(text):
        threading.Event().wait(0.1)
        written.append(text)

    handler = logs.configure(LogSettings(), write)
    for number in range(8):
        structlog.get_logger("connector.x").info("event", number=str(number))
    handler.close()
    assert len(written) == 8


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_process_ends_while_stdout_is_blocked(unbuffered):
    """A pipe that nobody reads blocks neither the logging program nor its exit."""
    program = (
        "import structlog; from connector import logs; from connector.settings import LogSettings;"
        "logs.configure(LogSettings()); log = structlog.get_logger('connector.x');"
        "[log.info('event', number=str(number), filler='x' * 1000) for number in range(500)]"
    )
    reader, writer = os.pipe()
    try:
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, env=environment
        )
        _, errors = process.communicate(timeout=60)
    finally:
        os.close(reader)
        os.close(writer)
    assert (process.returncode, errors) == (0, b"")


def test_repeats_are_limited_to_one_a_minute(lines, monkeypatch):
    """Of lines that differ only in numbers, one a minute is written, and the rest counted."""
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
    events = [json.loads(line) for line in read()]
    assert [
        (event["event"], event.get("slot"), event.get("cause"))
        for event in events
        if event["event"] != "repeats_left_out"
    ] == [
        ("Unable to connect to node with id 0", None, None),
        ("session_closed", 0, "handshake"),
        ("session_closed", 1, "handshake"),
        ("session_closed", 0, "reset"),
        ("Unable to connect to node with id 9", None, None),
    ]
    left_out = {event["of"]: event for event in events if event["event"] == "repeats_left_out"}
    assert {of: (line["repeated"], line["level"]) for of, line in left_out.items()} == {
        "Unable to connect to node with id %s": (4, "error"),
        "session_closed": (4, "warning"),
    }
    assert (left_out["session_closed"]["slot"], left_out["session_closed"]["cause"]) == ("0", "handshake")


def test_different_errors_are_not_repeats(lines):
    """Two different exceptions under one message are both written, the same one once."""
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


def test_suppressed_repeats_are_reported_at_the_end(lines):
    """Lines suppressed in the last minute of a run are reported before it ends."""
    configure, read = lines
    configure()
    for _ in range(3):
        structlog.get_logger("connector.x").info("started")
    assert [json.loads(line)["event"] for line in read()] == ["started", "repeats_left_out"]


def test_suppressed_repeats_are_reported_in_the_form_of_the_other_lines(lines):
    """On a terminal the line on repeats is for people, as the others are."""
    configure, read = lines
    configure(format="console")
    for _ in range(3):
        structlog.get_logger("connector.x").info("started", list="desk")
    _, line = read()
    assert not line.startswith("{")
    assert "repeats_left_out" in line
    assert "of=started of_logger=connector.x repeated=2" in line
    assert "list=desk" in line


def test_stdout_gets_the_lines(capfd):
    """Text goes to stdout unchanged."""
    logs.write_to_stdout("줄\n")
    assert capfd.readouterr().out == "줄\n"


@pytest.mark.parametrize("encoding", ["latin-1", "euc-kr", "ascii"])
def test_stdout_of_any_encoding_gets_every_line(monkeypatch, encoding):
    """A stdout without Korean letters gets the line with escapes."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
    logs.write_to_stdout('{"message": "유효하지 않은 é 😀"}\n')
    assert json.loads(raw.getvalue().decode(encoding)) == {"message": "유효하지 않은 é 😀"}


def test_the_writers_thread_redacts(lines):
    """A secret that becomes known only when its line waits to be written is hidden."""
    go, written = threading.Event(), []

    def write(text):
        go.wait()
        written.append(text)

    logs.configure(LogSettings(), write)
    log = structlog.get_logger("connector.x")
    log.info("first")
    log.info("echo", message="canary-known-later")
    logs.hide("canary-known-later")
    go.set()
    configure, _ = lines
    configure()  # replaces the handler, which writes its last lines
    assert any("echo" in line for line in written)
    assert "canary" not in "".join(written)


def test_secrets_may_become_known_while_lines_are_written(lines):
    """Values are added in one thread while another hides them."""
    configure, read = lines
    configure()
    log = structlog.get_logger("connector.x")
    for number in range(300):
        logs.hide_issued(f"canary-{number:04d}", kind="test")
        log.info("echo", message=f"canary-{number:04d}")
    events = [json.loads(line)["event"] for line in read()]
    assert events == ["echo"] * 300


@pytest.mark.parametrize("text", ["_" * 4_000_000, 'token="' + "\\" * 4_000_000, "\u202e" * 500_000])
def test_a_long_foreign_text_delays_nobody(lines, text):
    """However long a peer's text is, logging it takes the caller and the writer little time."""
    configure, read = lines
    configure()

    def log():
        structlog.get_logger("connector.x").info("control_record_refused", list=text, reason=text)
        logging.getLogger("websockets.client").error("failed: %s", text)
        try:
            raise ValueError(text)  # noqa: TRY301 - its traceback is the input
        except ValueError:
            logging.getLogger("library").exception("handshake")

    assert is_within(1, log)
    written = read()
    assert len(written) in range(3, 3 * TRIES + 1, 3)
    assert all(len(line) < 20_000 for line in written)


def test_no_foreign_text_is_kept_whole_to_recognize_repeats(lines):
    """What is saved of a line for a minute, to recognize its repeats, is bounded, too."""
    configure, _ = lines
    handler = configure()
    logging.getLogger("library").error("x " * 100_000)
    structlog.get_logger("connector.x").info("y", reason="z " * 100_000)
    assert len(str(handler._repeats._written_at)) < 10_000


def test_without_stdout_lines_are_dropped(monkeypatch):
    """A process that was started with stdout closed logs nothing, and does not fail."""
    monkeypatch.setattr("sys.stdout", None)
    logs.write_to_stdout("x\n")


@pytest.mark.parametrize(
    ("is_terminal", "form", "is_json"),
    [(True, "auto", False), (False, "auto", True), (True, "json", True), (False, "console", False)],
)
def test_auto_is_for_people_on_a_terminal_only(lines, monkeypatch, is_terminal, form, is_json):
    """`auto` writes console lines to a terminal and JSON to anything else."""
    stream = io.StringIO()
    stream.isatty = lambda: is_terminal
    monkeypatch.setattr(sys, "stdout", stream)
    handler = logs.configure(LogSettings(format=form))
    structlog.get_logger("test").info("something", number=1)
    handler.close()
    logging.getLogger().removeHandler(handler)
    assert stream.getvalue().startswith("{") is is_json


def test_auto_is_json_wherever_stdout_is_not_written(lines, monkeypatch):
    """A log that goes to a file is JSON, although stdout is a terminal."""
    configure, read = lines
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", stream)
    configure()
    structlog.get_logger("test").info("something")
    assert read()[0].startswith("{")
