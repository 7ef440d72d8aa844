"""The example for ClickHouse fills the printed table, and computes and joins exactly."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.conftest import started
from tests.examples import programs
from tests.examples.conftest import REQUIRED
from tests.examples.windows import wrong

FOLDER = programs.EXAMPLES / "clickhouse"


@pytest.fixture(scope="session")
def chdb():
    """Give the folder with chdb, which is ClickHouse as a Python package."""
    return started("chdb", lambda: programs.packages("clickhouse", "chdb", "chdb-core"), REQUIRED)


@pytest.fixture
def run(chdb, example_feed, tmp_path):
    """Return what runs a query over the tables that `kis-bond schema ddl` prints."""
    ddl = [sys.executable, "-m", "connector", "schema", "ddl", "--for", "clickhouse"]
    printed = subprocess.run(ddl, env=os.environ | example_feed.environment, capture_output=True, check=True)
    (tmp_path / "bond_ticks.sql").write_bytes(printed.stdout)
    places = ["--brokers", example_feed.bootstrap_servers, "--registry", example_feed.registry_url]
    topics = ["--ticks", example_feed.framed, "--status", example_feed.status]
    return lambda query: programs.lines(
        [sys.executable, FOLDER / "read_topics.py", FOLDER / query, *places, *topics], tmp_path, PYTHONPATH=str(chdb)
    )


def test_windows_are_exact(run, expected_windows):
    """Every window is right in every part, across copies, disorder and three schemas."""
    assert wrong(expected_windows, run("windows.sql")) == {}


def test_every_tick_came_while_its_bond_was_active(run, example_feed):
    """A tick gets the state that its bond had when the tick was received."""
    trades = Counter(trade.isin for trade in example_feed.trades)
    assert run("status.sql") == [f"{isin}|ACTIVE|{trades[isin]}" for isin in sorted(trades)]
