"""Metrics of the auditor: the coverage of today, and how far the audit has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector import __version__
from connector.app.audit.report import lag, lag_seconds
from connector.app.metrics.definition import Definition

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.app.audit.report import AuditParts
    from connector.app.metrics.definition import Values

STATES: Final = ("OPEN", "HOLES", "COMPLETE", "UNPROVEN")
CAUSES: Final = ("unknown",)


def _coverage(name: str) -> Callable[[AuditParts], Values]:
    """Return a reader of one of today's sums, which its caller has made shortly before."""
    return lambda of: of.today.coverage[name]


AUDIT: Final = (
    Definition(
        "gauge",
        "kis_bond_coverage_bonds",
        "Bonds by the state of today's coverage, of this auditor's partitions",
        _coverage("states"),
        ("state",),
        STATES,
    ),
    Definition(
        "gauge",
        "kis_bond_coverage_covered_volume",
        "Volume of today that the ticks account for",
        _coverage("covered_volume"),
    ),
    Definition(
        "gauge",
        "kis_bond_coverage_accumulated_volume",
        "Volume of today as KIS counted it",
        _coverage("accumulated_volume"),
    ),
    Definition(
        "gauge",
        "kis_bond_coverage_missing_volume",
        "Volume of today that no tick accounts for, without what traded before a bond was wanted",
        _coverage("missing_volume"),
    ),
    Definition(
        "gauge",
        "kis_bond_coverage_open_holes",
        "Holes of today that are not filled, by cause",
        _coverage("open_holes"),
        ("cause",),
        CAUSES,
    ),
    Definition(
        "gauge", "kis_bond_audit_partitions", "Partitions that this auditor holds", lambda of: len(of.group.partitions)
    ),
    Definition(
        "gauge", "kis_bond_audit_lag", "Records of the tick topic still to be audited", lambda of: float(lag(of))
    ),
    Definition(
        "gauge",
        "kis_bond_audit_lag_seconds",
        "Age of the latest audited record where records are still to be audited, else 0",
        lag_seconds,
    ),
    Definition(
        "counter", "kis_bond_audit_ticks", "Records of the tick topic read in this run", lambda of: of.auditor.ticks
    ),
    Definition(
        "counter",
        "kis_bond_audit_unreadable",
        "Records of the tick topic that could not be read, in this run",
        lambda of: of.auditor.unreadable,
    ),
    Definition(
        "counter",
        "kis_bond_audit_events",
        "Events `gap` and `backfill` written in this run",
        lambda of: of.auditor.events_written,
    ),
    Definition(
        "counter",
        "kis_bond_audit_backfilled",
        "Trades of KIS's REST list published as ticks in this run",
        lambda of: of.round.backfilled,
    ),
    Definition(
        "counter",
        "kis_bond_audit_rest_calls",
        "REST calls by outcome in this run: `ok`, KIS's code, or `failed` without one",
        lambda of: {} if of.rest is None else dict(of.rest.calls),
        ("outcome",),
    ),
    Definition(
        "gauge",
        "kis_bond_audit_ready",
        "1 while the auditor is ready",
        lambda of: float(not (of.group.problem or of.facts.problem or of.auditor.problem)),
    ),
    Definition("gauge", "kis_bond_audit_info", "1; the version is a label", lambda _: {__version__: 1.0}, ("version",)),
)
AUDIT_CATALOGUE: Final = {"Auditor": AUDIT}
