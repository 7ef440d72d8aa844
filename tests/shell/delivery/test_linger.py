"""Batches that are not full leave together."""

import asyncio

from connector.shell.delivery import linger
from connector.shell.delivery.linger import Linger


async def test_those_who_wait_leave_at_once(monkeypatch):
    """Whoever waits leaves with the first, and the next wait is another one."""
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.02)
    one = Linger()
    started_at = asyncio.get_running_loop().time()
    first = asyncio.create_task(one.wait())
    await asyncio.sleep(0.01)
    await asyncio.gather(first, one.wait())
    assert 0.02 <= asyncio.get_running_loop().time() - started_at < 0.03 + 0.2
    again = asyncio.create_task(one.wait())
    await asyncio.sleep(0)
    assert not again.done()
    await again
