"""Batches that are not full are sent together."""

import asyncio

from connector.shell.delivery import linger
from connector.shell.delivery.linger import Linger


async def test_all_waiting_lanes_are_released_together(monkeypatch):
    """All lanes that wait are released together, and the next wait is a new one."""
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
