"""The connector of a demo, started, watched and stopped as the command `run` does it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from connector import app
from connector.cli.demo.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from connector.cli.demo.reader import Reader
    from connector.core.status import Record
    from connector.settings import Settings
    from simulator import Simulator

POLL_SECONDS = 0.05
# The simulator may owe a last burst from before its rate was set to nothing (its slowest grid is 0.25 s).
QUIET_SECONDS = 0.6


class Pipeline:
    """Simulator, running connector and independent reader; `port` serves its HTTP endpoints, `trouble` is what kept it from draining."""

    def __init__(self, kis: Simulator, connector: app.Connector, reader: Reader) -> None:
        self._kis, self._connector, self._reader = kis, connector, reader
        self._greeted: set[str] = set()
        self.port = connector.port
        self.trouble = ""
        self.task: asyncio.Task[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the connector ended."""
        return self.task is not None and self.task.done()

    def ledger(self) -> Ledger:
        """Return the figures as they stand."""
        counts = self._connector.delivery.counts
        return Ledger(
            sent=self._kis.stats.frames,
            received=self._connector.journal.received,
            delivered=counts.acknowledged,
            dead_lettered=counts.dead_letters.total(),
            pending=self._connector.journal.pending,
            read_back=self._reader.distinct,
            duplicates=self._reader.duplicates,
            unreadable=self._reader.unreadable,
        )

    def instruments(self) -> dict[str, Record]:
        """Return the status record of each wanted bond, by ISIN."""
        found: dict[str, Record] = self._connector.report.status()["instruments"]
        return found

    def problems(self) -> list[str]:
        """Return what the connector itself says is wrong."""
        reasons, degraded = self._connector.report.readiness()
        waiting = (
            [f"delivery waits for {self._connector.delivery.waiting_for}"]
            if self._connector.delivery.waiting_for
            else []
        )
        return [
            *reasons,
            *degraded,
            *waiting,
            *([f"the consumer reports {self._reader.problem}"] if self._reader.problem else []),
        ]

    async def greet(self) -> None:
        """Let each newly registered bond trade at once: by chance alone the first trade of one among many takes seconds."""
        held = {isin for session in self._kis.sessions for isin in session.tr_keys}
        for isin in held - self._greeted:
            with contextlib.suppress(LookupError):  # released meanwhile
                await self._kis.emit_ticks(isin)
        self._greeted = held

    async def end(self, drain_seconds: float) -> None:
        """Stop the trades, have all of them read back, and stop the connector as SIGTERM does. Raises what the connector ended with."""
        self._kis.rate = 0
        await self._drain(drain_seconds)
        if self.task is None:
            return
        if not self.task.done():
            self._connector.stop()
        await self.task
        if self._connector.refusal:
            raise self._connector.refusal

    async def _drain(self, seconds: float) -> None:
        """Wait until all ticks sent are read back, at most so long."""
        loop = asyncio.get_running_loop()
        deadline, sent, since = loop.time() + seconds, -1, loop.time()
        while loop.time() < deadline and not self.has_ended:
            ledger = self.ledger()
            if ledger.sent != sent:
                sent, since = ledger.sent, loop.time()
            elif ledger.is_settled and loop.time() - since > QUIET_SECONDS:
                return
            await asyncio.sleep(POLL_SECONDS)
        self.trouble = "; ".join(self.problems())


@contextlib.asynccontextmanager
async def running(settings: Settings, kis: Simulator, reader: Reader) -> AsyncIterator[Pipeline]:
    """Run the connector while the block lasts. Its signal handlers are in place on entry, so that the caller's can replace them."""
    async with app.opened(settings) as connector:
        pipeline = Pipeline(kis, connector, reader)
        pipeline.task = asyncio.create_task(connector.run(), name="connector")
        try:
            await asyncio.sleep(0)
            yield pipeline
        finally:
            pipeline.task.cancel()
            await asyncio.wait({pipeline.task})
