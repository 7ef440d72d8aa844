"""The watch measures how long a partition had no acknowledgement while the market was open."""

from types import SimpleNamespace

import pytest

from tests.faults.watch import Watch


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that moves only when it is set."""
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr("tests.faults.watch.time", SimpleNamespace(monotonic=lambda: found.now))
    return found


@pytest.fixture
def watch():
    """Return a watch of a connector with topics, to be shown one /status after another."""
    return Watch(SimpleNamespace(names=SimpleNamespace(ticks="ticks"), kis=SimpleNamespace(sent=[])))


def status(*acknowledged):
    """Return a /status with a lane for each of these counts."""
    lanes = [
        {"topic": "ticks", "partition": number, "acknowledged": count} for number, count in enumerate(acknowledged)
    ]
    return {
        "started_at": "now",
        "frames": {"received": 0, "finished": 0, "pending": 0, "lost": {}},
        "ticks": {"decoded": 0, "acknowledged": 0, "in_flight": 0, "dead_letters": {}},
        "delivery": {"lanes": lanes},
    }


def look(watch, clock, *shown):
    """Show these counts, each at its time."""
    for at, counts in shown:
        clock.now = at
        watch._look(status(*counts))


def test_the_longest_gap_of_each_partition_counts(watch, clock):
    """An unchanged count is a gap of its partition alone."""
    look(watch, clock, (100, (1, 1)))
    watch.market(600)
    look(watch, clock, (101, (2, 2)), (105, (2, 3)), (106, (3, 4)))
    watch.market(0)
    assert watch.figures().gaps == {0: 5, 1: 4}


def test_a_gap_that_is_open_when_the_market_closes_counts(watch, clock):
    """Time before a new process reaches Kafka, without lanes, is a gap as well."""
    look(watch, clock, (100, (1,)))
    watch.market(600)
    look(watch, clock, (101, (2,)), (102, ()))
    clock.now = 116
    watch.market(0)
    look(watch, clock, (118, (3,)))
    assert watch.figures().gaps == {0: 15}


def test_nothing_counts_while_the_market_is_closed(watch, clock):
    """A closed market makes no gap."""
    look(watch, clock, (100, (1,)), (150, (1,)))
    watch.market(600)
    look(watch, clock, (151, (2,)))
    watch.market(0)
    look(watch, clock, (199, (2,)))
    assert watch.figures().gaps == {0: 1}
