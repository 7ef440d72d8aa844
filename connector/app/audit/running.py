"""Runs the auditor's parts in one task group, and stops them in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Never

import structlog

if TYPE_CHECKING:
    from connector.app.audit.report import AuditParts, AuditReport

LEAVE_SECONDS: Final = 10.0  # how long a stop waits for the last records

log = structlog.get_logger("connector.audit")


class RunningAuditor:
    """One auditor with all its parts; `port` is its HTTP port."""

    def __init__(self, parts: AuditParts, report: AuditReport, port: int) -> None:
        self.parts = parts
        self.report = report
        self.port = port

    def stop(self) -> None:
        """Ask for an orderly stop, as SIGTERM does."""
        self.parts.stop.ask("asked")

    async def run(self) -> None:
        """Run every part until a stop is asked for."""
        parts = self.parts
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(parts.facts.run(), name="facts")
                group.create_task(parts.group.run(), name="ticks")
                group.create_task(parts.round.run(), name="rest")
                group.create_task(self._stop_when_asked(), name="stop")
        except* _Stopped:
            log.info("stopped")

    async def _stop_when_asked(self) -> Never:
        await self.parts.stop.is_asked.wait()
        log.info("stopping", reason=self.parts.stop.reason)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.parts.group.flush()
        except TimeoutError:
            log.warning("audit_not_flushed", reason="Kafka did not acknowledge in time; the next start repeats it")
        raise _Stopped


class _Stopped(Exception):
    """Ends the task group after an orderly stop."""
