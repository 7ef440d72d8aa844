"""Fixtures that run the command line in this process and restore what it changes."""

import logging
import os
from dataclasses import asdict

import pytest
import structlog
from confluent_kafka import Producer
from typer.testing import CliRunner

from connector.cli import app
from tests.kafka.reader import QUIET


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    """Hide this machine's settings and bond master, and restore the log settings."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("KIS_BOND_")]:
        monkeypatch.delenv(name)
    yield
    structlog.reset_defaults()
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def cli():
    """Return a function that runs a command with variables, given without their prefix."""
    runner = CliRunner()

    def run(*arguments, **variables):
        environ = {f"KIS_BOND_{name}": str(value) for name, value in variables.items()}
        return runner.invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1", **environ})

    return run


@pytest.fixture
def variables(kafka, topic_names):
    """Return the variables that name the tests' Kafka and the test's own topics."""
    names = {f"TOPICS__{name.upper()}": topic for name, topic in asdict(topic_names).items()}
    return {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, **names}


@pytest.fixture
def produce(kafka):
    """Return a function that writes one record through another client."""
    producer = Producer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers})

    def write(topic, key, value):
        producer.produce(topic, key=key, value=value)
        assert producer.flush(20) == 0

    return write
