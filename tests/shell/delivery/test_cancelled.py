"""Delivery ends when it is cancelled, whatever fails at that moment."""

import asyncio

from connector.shell.delivery import Delivery
from tests.shell.delivery.fake_kafka import Brokers
from tests.shell.delivery.frames import MemoryJournal
from tests.shell.delivery.work import SCHEMA, plain


async def test_a_failure_does_not_swallow_a_cancellation(monkeypatch):
    """While one task has failed and another one still ends, a stop ends delivery for good."""
    running = Delivery(MemoryJournal(), SCHEMA, Brokers().kafka(), plain)
    is_ending, may_end = asyncio.Event(), asyncio.Event()

    async def ends_late(*_):
        try:
            await asyncio.Event().wait()
        finally:
            is_ending.set()
            await may_end.wait()

    async def fails(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(running._reading, "read_on", fails)
    monkeypatch.setattr(running._reading, "read_again", ends_late)
    task = asyncio.create_task(running.run())
    await asyncio.wait_for(is_ending.wait(), 60)
    task.cancel()
    await asyncio.sleep(0)
    may_end.set()
    done, _ = await asyncio.wait([task], timeout=30)
    assert done
    assert task.cancelled()
