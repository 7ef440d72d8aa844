"""Starts, watches and stops the connector of a demo, as the command `run` does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from connector import app
from connector.app import audit
from connector.app.audit.todays_coverage import days
from connector.cli.demo.ledger import Ledger
from connector.core.coverage.dates import seoul_date

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from connector.cli.demo.reader import Reader
    from connector.core.coverage.day import Day
    from connector.core.status import Record
    from connector.settings import Settings
    from simulator import Simulator

POLL_SECONDS = 0.05
# The simulator may still send one burst after its rate became 0: it sends at least every 0.25 s.
QUIET_SECONDS = 0.6
REPAIR_SECONDS = 60.0  # for the auditor to fill holes at the end; so long only if KIS's list cannot be had


class Pipeline:
    """Simulator, running connector, auditor and independent reader.

    `port` is the port of the HTTP endpoints; `trouble` says what did not end in time.
    """

    def __init__(self, kis: Simulator, connector: app.Connector, auditor: audit.RunningAuditor, reader: Reader) -> None:
        self._kis, self._connector, self._auditor, self._reader = kis, connector, auditor, reader
        self._traded: set[str] = set()
        self._covered = self._accumulated = 0
        self.port = connector.port
        self.trouble = ""
        self._is_stopping = False
        self.task: asyncio.Task[None] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the connector ended."""
        return self.task is not None and self.task.done()

    def ledger(self) -> Ledger:
        """Return the figures as they stand."""
        counts, stats = self._connector.delivery.counts, self._kis.stats
        found = self._audited_days()
        # In the moments of a rebalance the auditor holds no partition, and knows of no volume.
        if accumulated := sum(day.accumulated_volume for day in found):
            self._covered, self._accumulated = sum(day.covered_volume for day in found), accumulated
        return Ledger(
            frames=stats.frames,
            sent=stats.ticks,
            received=self._connector.journal.received,
            delivered=counts.acknowledged,
            dead_lettered=counts.dead_letters.total(),
            pending=self._connector.journal.pending,
            read_back=self._reader.distinct,
            duplicates=self._reader.duplicates,
            unreadable=self._reader.unreadable,
            repeated=stats.repeats,
            malformed=stats.malformed,
            backfilled=self._reader.backfilled,
            covered_volume=self._covered,
            accumulated_volume=self._accumulated,
            ticks_per_frame=self._kis.ticks_per_frame,
            is_cut=self._kis.faults.cut_sessions,
        )

    def instruments(self) -> dict[str, Record]:
        """Return the status record of each wanted bond, by ISIN."""
        return self._connector.report.instruments()

    def problems(self) -> list[str]:
        """Return the problems that the connector and the reader report.

        Once the demo has asked the connector to stop, not being ready is no problem.
        """
        reasons, degraded = self._connector.report.readiness()
        waiting = (
            [f"delivery waits for {self._connector.delivery.waiting_for}"]
            if self._connector.delivery.waiting_for
            else []
        )
        return [
            *([] if self._is_stopping else reasons),
            *degraded,
            *waiting,
            *([f"the consumer reports {self._reader.problem}"] if self._reader.problem else []),
        ]

    async def trade_new_bonds(self) -> None:
        """Trade each newly registered bond at once.

        The simulator trades bonds at random, so the first trade of one among many takes seconds.
        """
        held = {isin for session in self._kis.sessions for isin in session.tr_keys}
        for isin in held - self._traded:
            with contextlib.suppress(LookupError):  # released in the meantime
                await self._kis.emit_ticks(isin)
        self._traded = held

    async def end(self, drain_seconds: float) -> None:
        """Stop the trades, wait until all are read back, and stop the connector as SIGTERM does.

        Raises what the connector ended with.
        """
        self._kis.rate = 0
        await self._drain(drain_seconds)
        await self._audit_all()
        if self.task is None:
            return
        if not self.task.done():
            self._is_stopping = True
            self._connector.stop()
        await self.task
        if self._connector.refusal:
            raise self._connector.refusal

    async def _drain(self, seconds: float) -> None:
        """Wait until all sent ticks are read back, at most `seconds`."""
        loop = asyncio.get_running_loop()
        deadline, moved, since = loop.time() + seconds, (-1, -1), loop.time()
        while loop.time() < deadline and not self.has_ended:
            ledger = self.ledger()
            if (ledger.frames, ledger.received) != moved:
                moved, since = (ledger.frames, ledger.received), loop.time()
            elif ledger.is_drained and loop.time() - since > QUIET_SECONDS:
                return
            await asyncio.sleep(POLL_SECONDS)
        self.trouble = "; ".join(self.problems())

    async def _audit_all(self) -> None:
        """Wait until the auditor has read all ticks, and has tried to fill each hole it found."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + REPAIR_SECONDS
        while not self._is_audited():
            if self.has_ended:
                return
            if loop.time() >= deadline:
                self.trouble = self.trouble or f"the auditor did not fill the holes in {REPAIR_SECONDS:g} s"
                return
            await asyncio.sleep(POLL_SECONDS)
        self.ledger()  # keeps the sums, because a rebalance may follow

    def _is_audited(self) -> bool:
        """Whether the auditor read what the reader read, and waits for no hole of today.

        How far another client read says more than the auditor's own lag, which is 0 while it holds
        no partition, and as long as Kafka has not answered its first fetch.
        """
        auditor = self._auditor.parts.auditor
        for number, position in dict(self._reader.positions).items():
            audited = auditor.partitions.get(number)
            if audited is None or (audited.next_offset or 0) < position:
                return False
        return not any(
            day.is_waiting or any(hole.state == "OPEN" for hole in day.holes) for day in self._audited_days()
        )

    def _audited_days(self) -> list[Day]:
        """Return what the auditor knows of each bond's today."""
        return list(days(self._auditor.parts.auditor, seoul_date(time.time_ns() // 1_000_000)))


@contextlib.asynccontextmanager
async def running(settings: Settings, kis: Simulator, reader: Reader) -> AsyncIterator[Pipeline]:
    """Run the connector while the block lasts.

    Its signal handlers are set on entry, so that the caller can replace them.
    """
    # The simulated exchange is open every day.
    async with app.opened(settings) as connector, audit.opened(settings, None, lambda _: True) as auditor:
        pipeline = Pipeline(kis, connector, auditor, reader)
        pipeline.task = asyncio.create_task(connector.run(), name="connector")
        auditing = asyncio.create_task(auditor.run(), name="auditor")
        try:
            await asyncio.sleep(0)
            yield pipeline
        finally:
            for task in (pipeline.task, auditing):
                task.cancel()
            await asyncio.wait({pipeline.task, auditing})
