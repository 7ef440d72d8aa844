"""What a running connector says of itself: whether it is ready, and everything there is to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector import __version__
from connector.app.clock import rfc3339
from connector.core.record_keys import INSTRUMENT, LIST, SLOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.app.connector import Connector
    from connector.core.status import Record

# Of each bond's latest tick, as KIS sent it; 1,000 bonds make /status a quarter of a megabyte longer.
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


def readiness(connector: Connector) -> tuple[list[str], list[str]]:
    """Return the reasons not to be ready, and what KIS holds up; Kafka going away later is neither."""
    plan, journal = connector.plan, connector.journal
    reasons = [f"stopping: {connector.stopping}"] if connector.stopping else []
    if plan.control.lists is None:
        why = plan.status_reader.problem or plan.control_reader.problem or "not read to its end yet"
        reasons.append(f"the wanted lists are not known: {why}")
    else:
        reasons += [reader.unusable for reader in (plan.status_reader, plan.control_reader) if reader.unusable]
    missing = (connector.slots.unready, connector.delivery.missing_topic, connector.event_topic.missing)
    reasons += [problem for problem in missing if problem]
    if journal.write_error:
        reasons.append(f"the journal is not writable: {journal.write_error}")
    degraded: list[str] = []
    for feed in connector.slots.feeds.values():
        view = feed.view
        if view.state in ("CONNECTED", "IDLE"):
            continue
        text = (
            f"slot {view.slot} is {view.state}: {' '.join(filter(None, (view.code, view.message))) or 'no session yet'}"
        )
        (degraded if view.message and not feed.refused else reasons).append(text)
    return reasons, degraded


def status(connector: Connector) -> dict[str, Any]:
    """Return slots, lists, instruments, frames, ticks, journal, last ticks, recent events: the JSON of /status."""
    reasons, degraded = readiness(connector)
    counts, journal, settings = connector.delivery.counts, connector.journal, connector.settings
    records = connector.plan.records
    return {
        "name": settings.replicas.name,
        "version": __version__,
        "started_at": connector.started_at,
        "ready": not reasons,
        "reasons": reasons,
        "degraded": degraded,
        "topics": settings.topics.model_dump(),
        "replica": {
            "coordination": settings.replicas.coordination,
            "slots": sorted(connector.slots.feeds),
            "in_contact": connector.slots.in_contact,
            "problem": connector.slots.problem,
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
        },
        "journal": {
            "bytes": journal.used_bytes,
            "max_bytes": settings.journal.max_bytes,
            "error": journal.write_error,
            "set_aside": journal.set_aside,
        },
        "delivery": connector.delivery.view(),
        "slots": _by_name(records, SLOT),
        "lists": _by_name(records, LIST),
        "instruments": _by_name(records, INSTRUMENT),
        "last_ticks": _last_ticks(connector),
        "events": connector.recent_events[::-1],
    }


def _last_ticks(connector: Connector) -> dict[str, dict[str, str]]:
    """Return the latest tick of each wanted bond that had one in this run: what is shown of it, and when it was received."""
    found: dict[str, dict[str, str]] = {}
    for isin in _by_name(connector.plan.records, INSTRUMENT):
        if tick := connector.delivery.last_tick(isin):
            received_ns, columns = tick
            found[isin] = {name: columns[name] for name in SHOWN_COLUMNS} | {"received_at": rfc3339(received_ns)}
    return found


def _by_name(records: Mapping[str, Record], kind: str) -> dict[str, Record]:
    return {key.removeprefix(kind): record for key, record in records.items() if key.startswith(kind)}
