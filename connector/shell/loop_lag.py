"""Measures the lag of the event loop: by how much a pause of a quarter of a second overruns."""

from __future__ import annotations

import asyncio
from time import monotonic_ns
from typing import Final, Never

from connector.core.histogram import Latencies

PAUSE_SECONDS: Final = 0.25
LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class LoopLag:
    """`latencies` counts by how much each pause overran."""

    def __init__(self) -> None:
        self.latencies = Latencies(LAG_BOUNDS)

    async def run(self) -> Never:
        """Measure until cancelled."""
        while True:
            due_ns = monotonic_ns() + int(PAUSE_SECONDS * 1e9)
            await asyncio.sleep(PAUSE_SECONDS)
            # The loop's clock may be coarser than ours, so a pause may end just before it is due.
            self.latencies.observe([due_ns], max(due_ns, monotonic_ns()))
