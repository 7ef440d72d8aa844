"""What a running connector shows of itself over HTTP: readiness, status and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector import __version__
from connector.app.clock import now, rfc3339
from connector.app.metrics import Metrics
from connector.core.record_keys import INSTRUMENT, LIST, SLOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.app.build import Parts
    from connector.core.kis.slot_view import SlotView
    from connector.core.status import Record

# These columns of each bond's latest tick are shown as KIS sent them. 1,000 bonds add a quarter of
# a megabyte to /status.
SHOWN_COLUMNS: Final = (
    "BOND_ISNM",
    "STCK_CNTG_HOUR",
    "STCK_PRPR",
    "PRDY_VRSS_SIGN",
    "PRDY_VRSS",
    "PRDY_CTRT",
    "BOND_CNTG_ERT",
    "CNTG_VOL",
    "ACML_VOL",
)


def why_ended(view: SlotView) -> str | None:
    """Return why a slot's latest session ended, or None if none has ended or one is open."""
    if view.code is None and view.message is None:
        return None
    return " ".join(filter(None, (view.code, view.message))) or "no reason was given"


class Report:
    """Answers what the HTTP endpoints ask."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._metrics = Metrics(parts)
        self._started_at = now()

    def is_alive(self) -> bool:
        """Return whether the journal's thread is alive.

        The answer itself shows that the event loop runs.
        """
        return self._parts.journal.is_alive

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return self._metrics.text()

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return why the connector is not ready, and what does not work because of others.

        The latter are KIS, and writers of open transactions on our topics. If Kafka goes away after
        the start, neither list says so.
        """
        reasons = [f"stopping: {reason}"] if (reason := self._parts.stop.reason) else []
        reasons += [*self._unknown_lists(), *self._problems()]
        degraded: list[str] = []
        for feed in self._parts.slots.feeds.values():
            view = feed.view
            if view.state in ("CONNECTED", "IDLE"):
                continue
            why = why_ended(view)
            held_up_by_kis = why and not feed.refused
            said = f"slot {view.slot} is {view.state}: {why or 'no session yet'}"
            (degraded if held_up_by_kis else reasons).append(said)
        plan = self._parts.plan
        degraded += [reader.held_up for reader in (plan.status_reader, plan.control_reader) if reader.held_up]
        return reasons, degraded

    def _unknown_lists(self) -> list[str]:
        plan = self._parts.plan
        if plan.control.lists is None:
            why = plan.status_reader.problem or plan.control_reader.problem or "not read to its end yet"
            return [f"the wanted lists are not known: {why}"]
        return [reader.unusable for reader in (plan.status_reader, plan.control_reader) if reader.unusable]

    def _problems(self) -> list[str]:
        parts = self._parts
        found = [parts.slots.unready, parts.delivery.missing_topic, parts.event_topic.missing]
        if parts.delivery.held_by_bug:
            found.append(f"delivery waits for {parts.delivery.held_by_bug}")
        if parts.journal.write_error:
            found.append(f"the journal is not writable: {parts.journal.write_error}")
        return [problem for problem in found if problem]

    async def status(self) -> dict[str, Any]:
        """Return the JSON of /status: slots, lists, instruments, frames, ticks, journal, events.

        It has today's coverage, too, once that is read.
        """
        parts = self._parts
        reasons, degraded = self.readiness()
        counts, journal, settings, records = parts.delivery.counts, parts.journal, parts.settings, parts.plan.records
        return {
            "name": settings.replicas.name,
            "version": __version__,
            "started_at": self._started_at,
            "ready": not reasons,
            "reasons": reasons,
            "degraded": degraded,
            "topics": settings.topics.names(),
            "replica": {
                "coordination": settings.replicas.coordination,
                "slots": sorted(parts.slots.feeds),
                "in_contact": parts.slots.in_contact,
                "problem": parts.slots.group.problem,
            },
            "frames": {
                "received": journal.received,
                "finished": journal.finished,
                "pending": journal.pending,
                "lost": dict(journal.lost),
            },
            "ticks": {
                "decoded": counts.decoded,
                "acknowledged": counts.acknowledged,
                "in_flight": counts.in_flight,
                "unrequested": counts.unrequested,
                "dead_letters": dict(counts.dead_letters),
                # From a frame's receipt to Kafka's acknowledgement of a tick: how many took at most
                # so many seconds.
                "latency": {
                    "bounds": list(counts.latencies.bounds),
                    "counts": list(counts.latencies.counts),
                    "total": counts.latencies.total,
                },
            },
            "journal": {
                "bytes": journal.used_bytes,
                "max_bytes": settings.journal.max_bytes,
                "error": journal.write_error,
                "segments_retired": journal.segments_retired,
            },
            "delivery": parts.delivery.view(),
            "slots": _by_name(records, SLOT),
            "lists": _by_name(records, LIST),
            "instruments": self.instruments(),
            "last_ticks": self._last_ticks(),
            "events": [event.to_json() for event in reversed(parts.events.recent)],
            **parts.watched_coverage.look(),
        }

    def instruments(self) -> dict[str, Record]:
        """Return the status record of each wanted bond, by ISIN."""
        return _by_name(self._parts.plan.records, INSTRUMENT)

    def _last_ticks(self) -> dict[str, dict[str, str]]:
        """Return the shown columns of each reported bond's latest tick in this run."""
        found: dict[str, dict[str, str]] = {}
        for isin in self.instruments():
            if tick := self._parts.delivery.last_tick(isin):
                received_ns, columns = tick
                found[isin] = {name: columns[name] for name in SHOWN_COLUMNS} | {"received_at": rfc3339(received_ns)}
        return found


class Starting:
    """Answers for a connector whose journal is not open yet, and then as its report does."""

    def __init__(self) -> None:
        self.report: Report | None = None

    def is_alive(self) -> bool:
        """Return whether the connector works; waiting for the journal is no fault."""
        return self.report is None or self.report.is_alive()

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        return await self.report.metrics() if self.report else b""

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return why the connector is not ready, and what does not work because of KIS."""
        return self.report.readiness() if self.report else (["the journal is not open yet"], [])

    async def status(self) -> dict[str, Any]:
        """Return the JSON of /status."""
        return await self.report.status() if self.report else {"ready": False, "reasons": self.readiness()[0]}


def _by_name(records: Mapping[str, Record], kind: str) -> dict[str, Record]:
    return {key.removeprefix(kind): record for key, record in records.items() if key.startswith(kind)}
