"""The command line run in this process, and what it leaves behind put back."""

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
    """Keep this machine's settings and bond master out, and log settings in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("KIS_BOND_")]:
        monkeypatch.delenv(name)
    yield
    structlog.reset_defaults()
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def cli():
    """Return what runs a command with variables, given without their prefix."""
    runner = CliRunner()

    def run(*arguments, **variables):
        environ = {f"KIS_BOND_{name}": str(value) for name, value in variables.items()}
        return runner.invoke(app, list(arguments), env={"COLUMNS": "200", "NO_COLOR": "1", **environ})

    return run


@pytest.fixture
def variables(kafka, topic_names):
    """Give the variables that lead to the tests' Kafka and to topics of the test's own."""
    names = {f"TOPICS__{name.upper()}": topic for name, topic in asdict(topic_names).items()}
    return {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, **names}


@pytest.fixture
def produce(kafka):
    """Return what writes one record through another client."""
    producer = Producer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers})

    def write(topic, key, value):
        producer.produce(topic, key=key, value=value)
        assert producer.flush(20) == 0

    return write
