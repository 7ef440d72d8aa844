"""The example for Python reads both framings, joins the status and fills DuckDB exactly."""

import sys
from collections import Counter

import pytest

from connector.packaged_files import bond_tick
from tests.conftest import started
from tests.examples import feed, programs
from tests.examples.conftest import REQUIRED
from tests.examples.windows import wrong

FOLDER = programs.EXAMPLES / "python"


@pytest.fixture(params=["registry", "no registry"])
def run(request, example_feed, tmp_path):
    """Return what runs a program of the example outside the checkout, with each framing."""
    feed.write_schemas(tmp_path)
    ours = feed.SCHEMA_FILES[0]
    topics = {
        "registry": ["--ticks", example_feed.framed, "--registry", example_feed.registry_url, "--schema", ours],
        "no registry": ["--ticks", example_feed.plain, "--schema", *feed.SCHEMA_FILES],
    }[request.param]
    places = ["--brokers", example_feed.bootstrap_servers, "--status", example_feed.status, *topics]
    return lambda name, *more: programs.lines([sys.executable, FOLDER / name, *places, *more], tmp_path)


def test_windows_are_exact(run, expected_windows):
    """Every window is right in every part, across copies, disorder and three schemas."""
    assert wrong(expected_windows, run("windows.py")) == {}


def test_every_tick_came_while_its_bond_was_active(run, example_feed):
    """A tick gets the state that its bond had when the tick was received."""
    trades = Counter(trade.isin for trade in example_feed.trades)
    assert run("status.py") == [f"{isin}|ACTIVE|{trades[isin]}" for isin in sorted(trades)]


@pytest.fixture(scope="session")
def duckdb():
    """Give the folder with DuckDB."""
    return started("DuckDB", lambda: programs.packages("python", "duckdb"), REQUIRED)


def test_duckdb_computes_the_same_in_the_printed_table(duckdb, example_feed, expected_windows, tmp_path):
    """The table and view that `schema ddl --for duckdb` prints hold every tick as it is."""
    ddl = programs.lines([sys.executable, "-m", "connector", "schema", "ddl", "--for", "duckdb"], tmp_path)
    (tmp_path / "bond_ticks.sql").write_text("\n".join(ddl))
    (tmp_path / "bond_tick.avsc").write_text(bond_tick())
    topics = ["--ticks", example_feed.framed, "--registry", example_feed.registry_url]
    command = [sys.executable, FOLDER / "duckdb_windows.py", "--brokers", example_feed.bootstrap_servers, *topics]
    assert wrong(expected_windows, programs.lines(command, tmp_path, PYTHONPATH=str(duckdb))) == {}
