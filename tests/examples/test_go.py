"""The example for Go reads both framings and joins the status exactly."""

from collections import Counter

import pytest

from tests.conftest import started
from tests.examples import feed, programs
from tests.examples.conftest import REQUIRED
from tests.examples.windows import wrong


@pytest.fixture(scope="session")
def program():
    """Give the built program."""
    return started("Go", lambda: programs.go("go"), REQUIRED)


@pytest.fixture(params=["registry", "no registry"])
def run(request, program, example_feed, tmp_path):
    """Return what runs a command of the program, with each framing."""
    feed.write_schemas(tmp_path)
    topics = {
        "registry": ["-ticks", example_feed.framed, "-registry", example_feed.registry_url],
        "no registry": ["-ticks", example_feed.plain, "-schema", ",".join(feed.SCHEMA_FILES)],
    }[request.param]
    places = ["-brokers", example_feed.bootstrap_servers, "-status", example_feed.status, *topics]
    return lambda command: programs.lines([program, command, *places], tmp_path)


def test_windows_are_exact(run, expected_windows):
    """Every window is right in every part, across copies, disorder and three schemas."""
    assert wrong(expected_windows, run("windows")) == {}


def test_every_tick_came_while_its_bond_was_active(run, example_feed):
    """A tick gets the state that its bond had when the tick was received."""
    trades = Counter(trade.isin for trade in example_feed.trades)
    assert sorted(run("status")) == [f"{isin}|ACTIVE|{trades[isin]}" for isin in sorted(trades)]
