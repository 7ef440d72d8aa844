"""What a running auditor shows of itself over HTTP: readiness, status and metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from connector import __version__
from connector.app.clock import now

if TYPE_CHECKING:
    from connector.app.audit.auditor import Auditor
    from connector.app.audit.rest_round import RestRound
    from connector.app.audit.todays_coverage import TodaysCoverage
    from connector.app.metrics import Metrics
    from connector.app.stop import Stop
    from connector.settings import Settings
    from connector.shell.coverage import FactTopics, TickGroup
    from connector.shell.kis_rest import RestClient


class AuditParts(NamedTuple):
    """What an auditor consists of; `rest` is None if there are no app keys for REST."""

    settings: Settings
    stop: Stop
    auditor: Auditor
    today: TodaysCoverage
    group: TickGroup
    facts: FactTopics
    rest: RestClient | None
    round: RestRound


def lag(parts: AuditParts) -> int:
    """Return how many records of this member's partitions are not audited yet."""
    return sum(each.lag or 0 for each in parts.auditor.partitions.values())


def lag_seconds(parts: AuditParts) -> float:
    """Return the age of the oldest partition's latest record, or 0 if nothing is left to read."""
    late = [each.latest_ms for each in parts.auditor.partitions.values() if each.lag and each.latest_ms]
    return max(0.0, time.time() - min(late) / 1000) if late else 0.0


class AuditReport:
    """Answers what the HTTP endpoints ask."""

    def __init__(self, parts: AuditParts, metrics: Metrics) -> None:
        self._parts = parts
        self._metrics = metrics
        self._started_at = now()

    def is_alive(self) -> bool:
        """Return True: the answer itself shows that the event loop runs."""
        return True

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        await self._parts.today.look()
        return self._metrics.text()

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return why the auditor is not ready, and what does not work because of KIS."""
        parts = self._parts
        found = [parts.group.problem, parts.facts.problem, parts.auditor.problem]
        reasons = [f"stopping: {reason}"] if (reason := parts.stop.reason) else []
        reasons += [problem for problem in found if problem]
        degraded = []
        if parts.rest is None:
            degraded.append("KIS is not asked: without audit.credentials_dir the audit rests on ticks alone")
        elif parts.rest.problem:
            degraded.append(parts.rest.problem)
        return reasons, degraded

    async def status(self) -> dict[str, Any]:
        """Return the JSON of /status: the audit, and today's coverage, in sum and by bond."""
        parts, settings = self._parts, self._parts.settings
        shown = await parts.today.look()
        reasons, degraded = self.readiness()
        return {
            "name": settings.replicas.name,
            "version": __version__,
            "started_at": self._started_at,
            "ready": not reasons,
            "reasons": reasons,
            "degraded": degraded,
            "topics": settings.topics.names(),
            "audit": {
                "partitions": sorted(parts.group.partitions),
                "lag": lag(parts),
                "lag_seconds": round(lag_seconds(parts), 3),
                "ticks": parts.auditor.ticks,
                "unreadable": parts.auditor.unreadable,
                "backfilled": parts.round.backfilled,
                "rest": None if parts.rest is None else dict(parts.rest.calls),
            },
            **shown,
            "events": [event.to_json() for event in reversed(parts.auditor.recent)],
        }
