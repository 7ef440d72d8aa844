"""Trouble is told once, tells what it is, and ends."""

import asyncio

import pytest
import structlog

from connector.shell.journal import trouble
from connector.shell.journal.trouble import Trouble


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let a call be slow after a hundredth of a second."""
    monkeypatch.setattr(trouble, "SLOW_SECONDS", 0.01)
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.001)


async def test_a_problem_is_logged_once_and_its_end_once():
    """A problem that goes on is one error; that it ended is one warning."""
    found = Trouble()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            found.note("write", "No space left on device")
        found.note("sync", "Input/output error")
        found.end("sync")
        found.end("write")
        found.end("write")
    assert [entry["event"] for entry in logs] == [
        "journal_write_failed",
        "journal_write_failed",
        "journal_write_recovered",
    ]
    assert found.problems == {}
    assert found.changed.is_set()


@pytest.mark.parametrize(("call", "is_hanging"), [("write", True), ("prune", True), ("sync", False)])
async def test_a_slow_call_is_a_problem_while_it_lasts(call, is_hanging):
    """A call that takes too long is noted; only one that writes keeps others from the folder."""
    found = Trouble()
    with found.watched(call):
        async with asyncio.timeout(30):
            await found.changed.wait()
        assert found.is_hanging == is_hanging
        assert call in found.problems
    assert not found.is_hanging


async def test_a_quick_call_is_none():
    """A call that returns in time notes nothing."""
    found = Trouble()
    with found.watched("write"):
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)
    assert found.problems == {}


async def test_a_step_that_raises_is_told_and_repeated():
    """Any exception is logged with its traceback and noted, and the step goes on."""
    found, times = Trouble(), []

    async def step():
        times.append(1)
        await asyncio.sleep(0.001)
        if len(times) < 3:
            raise RuntimeError("nobody expected this")

    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(found.for_ever(step))
        async with asyncio.timeout(30):
            await found.changed.wait()
            assert found.problems == {"step": "RuntimeError: nobody expected this"}
            while len(times) < 5:
                await asyncio.sleep(0.001)
        task.cancel()
    assert found.problems == {}
    assert [entry["event"] for entry in logs].count("journal_bug") == 2
