"""Tests of the lines on what to try during a demo."""

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
    """Return settings with topic names as a run on a real Kafka has them."""
    own = {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1234", "KIS_BOND_JOURNAL__PATH": "/somewhere/journal"}
    return configuration.load(None, own | TOPICS)


def test_commands_are_as_the_program_was_called(monkeypatch, settings, tmp_path):
    """The commands call the program as the user called it, after the variables they need."""
    monkeypatch.setattr(sys, "argv", [".venv/bin/kis-bond", "demo"])
    lines = hints.of(settings, tmp_path, 8081)
    assert lines[1] == f"  export KIS_BOND_CONFIG={tmp_path}/demo.yaml"
    assert lines[2] == "  .venv/bin/kis-bond subs add KR103502GA34"
    assert "Page http://127.0.0.1:8081/  Kafka 127.0.0.1:1234 " in lines[-1]


def test_run_as_a_module(monkeypatch, settings, tmp_path):
    """If the demo was run as a module, the commands are run as one."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/connector/__main__.py", "demo"])
    assert hints.of(settings, tmp_path, 1)[2].endswith(" -m connector subs add KR103502GA34")


def test_a_settings_file_names_what_runs(settings, tmp_path):
    """The settings file names the same Kafka, topics and journal, and the port of the page."""
    export = hints.of(settings, tmp_path, 8081)[1]
    file = Path(export.rpartition("KIS_BOND_CONFIG=")[2])
    found = configuration.load(file, {})
    assert (found.kafka, found.topics, found.journal.path) == (settings.kafka, settings.topics, settings.journal.path)
    assert found.http.url() == "http://127.0.0.1:8081"


def test_remaining_topics(settings):
    """The topics that stay on a real Kafka are named."""
    assert "demo-1.*" in hints.remaining_topics(settings)[0]
