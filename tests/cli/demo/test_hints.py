"""What to try beside a demo."""

import sys
from pathlib import Path

import pytest

from connector import settings as configuration
from connector.cli.demo import hints

TOPICS = {
    f"KIS_BOND_TOPICS__{part}": f"demo-1.{part.lower()}"
    for part in ("TICKS", "CONTROL", "STATUS", "EVENTS", "DEAD_LETTERS", "SLOTS")
}


@pytest.fixture
def settings():
    """Give settings with names as a run on a real Kafka has them."""
    return configuration.load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1234", **TOPICS})


def test_commands_are_as_the_program_was_called(monkeypatch, settings, tmp_path):
    """The commands begin with the program as it was called, and the environment they need stands before them."""
    monkeypatch.setattr(sys, "argv", [".venv/bin/kis-bond", "demo"])
    lines = hints.of(settings, tmp_path, 8081, own_topics=False)
    assert lines[1] == "  export KIS_BOND_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:1234"
    assert lines[2] == "  .venv/bin/kis-bond subs add KR103502GA34"
    assert "http://127.0.0.1:8081/" in lines[-1]


def test_run_as_a_module(monkeypatch, settings, tmp_path):
    """Run as a module, the commands are run as one."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/connector/__main__.py", "demo"])
    assert hints.of(settings, tmp_path, 1, own_topics=False)[2].endswith(" -m connector subs add KR103502GA34")


def test_own_topics_come_from_a_settings_file(settings, tmp_path):
    """Where the topics have names of their own, the file named in the environment leads to the same Kafka and topics."""
    export = hints.of(settings, tmp_path, 1, own_topics=True)[1]
    file = Path(export.rpartition("KIS_BOND_CONFIG=")[2])
    found = configuration.load(file, {})
    assert (found.kafka, found.topics) == (settings.kafka, settings.topics)


def test_left_behind(settings):
    """What stays on a real Kafka is named."""
    assert "demo-1.*" in hints.left_behind(settings)[0]
