"""Tests of one run of the demo, in this process."""

import asyncio
import functools
import io
import json
import os
import signal
from dataclasses import replace

import pytest
from rich.console import Console

from connector.cli.demo import run as demo_run
from connector.cli.demo.reader import Reader
from connector.cli.demo.run import RunOptions, run
from connector.errors import NotInTime

SHORT = RunOptions(bootstrap_servers=None, seconds=2, rate=50, seed=1, bonds=3, live=False)


@pytest.fixture
def play(tmp_path):
    """Return a function that runs the demo with its files in the test's folder."""
    return functools.partial(run, folder=tmp_path, console=Console(file=io.StringIO()))


async def test_every_sent_tick_is_read_back(play, tmp_path):
    """A run on the embedded broker ends with equal counts, and its log is in its folder."""
    outcome = await play(SHORT)
    assert outcome.differences == outcome.notes == []
    assert outcome.ledger.sent == outcome.ledger.received == outcome.ledger.delivered == outcome.ledger.read_back > 20
    assert outcome.topics["ticks"] == "bond.ticks"
    events = [json.loads(line)["event"] for line in (tmp_path / "connector.log").read_text().splitlines()]
    assert "session_opened" in events
    assert (events.count("list_accepted"), events.count("bond_active")) == (1, 3)


async def test_what_kis_left_out_is_fetched_from_its_list(play):
    """Ticks that never reached the socket are found by the auditor and backfilled, to 100 %."""
    # So few ticks that KIS's list of each bond still has them all when a busy machine asks.
    outcome = await play(replace(SHORT, seconds=5, rate=10, faults=("missing=4",)))
    assert outcome.differences == []
    assert outcome.ledger.backfilled > 3
    assert outcome.ledger.covered_volume == outcome.ledger.accumulated_volume > 0


@pytest.mark.parametrize(
    ("faults", "figure"),
    [
        (("batch=5",), "ticks_per_frame"),
        (("malformed=2",), "dead_lettered"),
        (("duplicate=4",), "duplicates"),
        (("batch=5", "malformed=3", "duplicate=4", "reorder=5", "extra=2", "encrypted"), "repeated"),
        (("abrupt=1",), "is_cut"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, tuple) else value,
)
async def test_a_fault_is_accounted_for(play, faults, figure):
    """What a fault of the simulated KIS did is counted, and is no difference."""
    outcome = await play(replace(SHORT, seconds=4, faults=faults))
    assert (outcome.differences, outcome.ledger.lost) == ([], 0)
    assert getattr(outcome.ledger, figure) > (1 if figure == "ticks_per_frame" else 0)
    assert outcome.ledger.duplicates >= outcome.ledger.repeated
    assert outcome.ledger.dead_lettered == outcome.ledger.malformed


async def test_a_tick_that_cannot_be_read_back_is_a_difference(play, monkeypatch):
    """A tick that Kafka acknowledged but the consumer did not read is counted as lost."""
    count = Reader.count
    monkeypatch.setattr(
        Reader, "count", lambda reader, value: count(reader, value) if reader.distinct != 10 else swallow(reader)
    )
    monkeypatch.setattr(demo_run, "DRAIN_SECONDS", 2)
    outcome = await play(SHORT)
    assert outcome.ledger.lost > 0
    assert "read back 10." in outcome.differences[0]


def swallow(_reader):
    """Lose a record."""


async def test_nothing_sent_is_no_success(play, monkeypatch):
    """A run in which KIS refused every bond reports that nothing was sent."""
    monkeypatch.setattr(demo_run, "START_SECONDS", 2)
    outcome = await play(replace(SHORT, faults=("reply:*=OPSP8992",)))
    assert outcome.ledger.sent == 0
    assert "sent nothing" in outcome.differences[0]


async def test_a_signal_ends_it_with_the_summary(play):
    """Ctrl-C ends a run without a time limit in order and with equal counts."""
    running = asyncio.create_task(play(RunOptions(None, None, 50, 1, 3, live=False)))
    await started(play)
    os.kill(os.getpid(), signal.SIGINT)
    outcome = await running
    assert outcome.differences == []
    assert outcome.ledger.sent > 0


async def started(play):
    """Wait until the connector has opened its session."""
    log = play.keywords["folder"] / "connector.log"
    async with asyncio.timeout(30):
        while not log.exists() or "session_opened" not in log.read_text():
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # some ticks


async def test_a_second_signal_ends_it_at_once(play):
    """A second Ctrl-C cancels the run."""
    running = asyncio.create_task(play(RunOptions(None, None, 50, 1, 3, live=False)))
    await started(play)
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_real_kafka(play, kafka):
    """On a real Kafka the counts are equal too, and the run's own topics are named at the end."""
    outcome = await play(RunOptions(kafka.bootstrap_servers, 3, 50, 1, 3, live=False))
    assert outcome.differences == []
    assert outcome.ledger.sent == outcome.ledger.read_back > 20
    assert all(name.startswith("demo-") for name in outcome.topics.values())
    assert outcome.topics["ticks"].partition(".")[0] in outcome.notes[0]


async def test_an_unreachable_kafka(play):
    """A Kafka that cannot be reached ends the run with a message that names it."""
    with pytest.raises(NotInTime, match=r"127\.0\.0\.1:1"):
        await play(RunOptions("127.0.0.1:1", 3, 50, 1, 3, live=False))
