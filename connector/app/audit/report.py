"""What a running auditor shows of itself over HTTP: readiness, status and metrics."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from connector import __version__
from connector.app.clock import now
from connector.core.coverage.dates import seoul_date
from connector.core.coverage.record import value_of
from connector.core.coverage.shown import shown_day
from connector.core.steps import finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from connector.app.audit.auditor import Auditor
    from connector.app.audit.rest_round import RestRound
    from connector.app.stop import Stop
    from connector.core.coverage.day import Day
    from connector.settings import Settings
    from connector.shell.coverage import FactTopics, TickGroup
    from connector.shell.kis_rest import RestClient


class AuditParts(NamedTuple):
    """What an auditor consists of; `rest` is None if there are no app keys for REST."""

    settings: Settings
    stop: Stop
    auditor: Auditor
    group: TickGroup
    facts: FactTopics
    rest: RestClient | None
    round: RestRound


class Sums(NamedTuple):
    """The sums of one trade date over the bonds of this member."""

    states: Counter[str]
    covered: int
    accumulated: int
    missing: int
    unwanted: int
    open_holes: Counter[str]


def sums(auditor: Auditor, trade_date: date) -> Sums:
    """Return the sums of a date. `open_holes` counts holes that are not filled, by cause."""
    states, open_holes = Counter[str](), Counter[str]()
    covered = accumulated = missing = unwanted = 0
    for day in days(auditor):
        if day.trade_date != trade_date:
            continue
        states[day.state] += 1
        covered += day.covered_volume
        accumulated += day.accumulated_volume
        missing += day.missing_volume
        unwanted += day.unwanted_volume
        open_holes.update(hole.cause for hole in day.holes if hole.state != "FILLED")
    return Sums(states, covered, accumulated, missing, unwanted, open_holes)


def days(auditor: Auditor) -> Iterator[Day]:
    """Yield every day in memory."""
    for audited in list(auditor.partitions.values()):
        yield from list(audited.book.days.values())


def lag(parts: AuditParts) -> int:
    """Return how many records of this member's partitions are not audited yet."""
    return sum(each.lag or 0 for each in parts.auditor.partitions.values())


def lag_seconds(parts: AuditParts) -> float:
    """Return the age of the oldest partition's latest record, or 0 if nothing is left to read."""
    late = [each.latest_ms for each in parts.auditor.partitions.values() if each.lag and each.latest_ms]
    return max(0.0, time.time() - min(late) / 1000) if late else 0.0


class AuditReport:
    """Answers what the HTTP endpoints ask."""

    def __init__(self, parts: AuditParts, metrics: Any) -> None:
        self._parts = parts
        self._metrics = metrics
        self._started_at = now()

    def is_alive(self) -> bool:
        """Return True: the answer itself shows that the event loop runs."""
        return True

    def metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        text: bytes = self._metrics.text()
        return text

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

    def status(self) -> dict[str, Any]:
        """Return the JSON of /status: the audit, and today's coverage, in sum and by bond."""
        parts, settings = self._parts, self._parts.settings
        reasons, degraded = self.readiness()
        today = seoul_date(time.time_ns() // 1_000_000)
        values = {day.isin: value_of(day) for day in days(parts.auditor) if day.trade_date == today}
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
            **finished(shown_day(today, values)),
            "events": [event.to_json() for event in reversed(parts.auditor.recent)],
        }
