"""A run ends when its pipeline does."""

import asyncio
from dataclasses import dataclass

import pytest

from benchmarks import auditor, ours, runs
from benchmarks.cases import CASES, Entry
from benchmarks.pipeline import Meter, Run
from connector.app import Connector
from simulator.embedded_kafka import EmbeddedKafka


@dataclass
class Brokers:
    """Brokers that a run may not stop."""

    bootstrap_servers: str
    restartable = False


def test_pipeline_that_dies_at_its_start(monkeypatch):
    """The benchmark names the pipeline and what it said, long before a run may take."""
    monkeypatch.setattr(runs, "RUN_SECONDS", 20)
    monkeypatch.setattr(auditor, "create_topics", lambda *_, **__: None)  # these brokers create what is asked for
    with EmbeddedKafka({}) as kafka, pytest.raises(SystemExit, match=r"no_such_pipeline ended.*\n.*No module named"):
        runs.run_once(Brokers(kafka.bootstrap_servers), CASES["single"], Entry("dead", "no_such_pipeline"), a_run())


async def test_connector_that_dies(monkeypatch):
    """The connector's own failure ends its pipeline, whatever it waits for."""

    async def fail(_: Connector) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Connector, "run", fail)
    run = a_run(approval_url="http://127.0.0.1:1/oauth2/Approval", websocket_url="ws://127.0.0.1:1")
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with asyncio.timeout(30):
            await ours.pipeline(run, Meter(run))


def a_run(**options: str) -> Run:
    """Return a small run."""
    return Run(ticks=100, bonds=2, prices=100, core=0, bootstrap_servers="127.0.0.1:1", **options)
