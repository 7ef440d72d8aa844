"""The event loop's lag is measured."""

import asyncio
import time

from connector.shell import loop_lag
from connector.shell.loop_lag import LoopLag


async def test_a_busy_loop_shows_as_lag(monkeypatch):
    """If something keeps the loop busy during a pause, the pause counts as that much too long."""
    monkeypatch.setattr(loop_lag, "PAUSE_SECONDS", 0.01)
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    async with asyncio.timeout(30):
        while lag.latencies.total < 3:
            await asyncio.sleep(0.005)
        usual = lag.latencies.total
        time.sleep(0.3)  # noqa: ASYNC251 - this is measured
        while lag.latencies.total == usual:
            await asyncio.sleep(0.001)
    task.cancel()
    bound = lag.latencies.bounds.index(0.25)
    assert lag.latencies.total - lag.latencies.counts[bound] >= 1
    assert lag.latencies.sum_seconds >= 0.25
