"""Metrics of what the control topic asks for: lists, bonds, and how far the topic is read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from connector.app.metrics.definition import Definition
from connector.core.record_keys import INSTRUMENT, LIST
from connector.shell.kafka.aiokafka_fixes import skipped_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.app.build import Parts
    from connector.app.metrics.definition import Values

INSTRUMENT_STATES: Final = ("PENDING", "ACTIVE", "WAITING_CAPACITY", "REJECTED", "DISCONNECTED")
LIST_STATES: Final = ("ACCEPTED", "REFUSED")


def _states(kind: str) -> Callable[[Parts], Values]:
    return lambda parts: Counter(
        str(record.get("state")) for key, record in parts.plan.records.items() if key.startswith(kind)
    )


CONTROL: Final = (
    Definition(
        "gauge", "kis_bond_instruments", "Wanted bonds by state", _states(INSTRUMENT), ("state",), INSTRUMENT_STATES
    ),
    Definition(
        "gauge",
        "kis_bond_control_lists",
        "Control lists by what became of their latest record; after a refused one the earlier content stays in force",
        _states(LIST),
        ("state",),
        LIST_STATES,
    ),
    Definition(
        "counter",
        "kis_bond_control_records_ignored",
        "Control records whose key names no list, in this run",
        lambda of: of.plan.control.ignored,
    ),
    Definition(
        "counter",
        "kis_bond_batches_skipped",
        "Batches of records that unpack to more than 32 MiB or could not be decoded, in this run",
        lambda _: float(skipped_batches.total()),
    ),
    Definition(
        "gauge",
        "kis_bond_control_restored",
        "1 once the control topic has been read to its end in this run",
        lambda of: float(of.plan.control.is_read),
    ),
    Definition(
        "gauge",
        "kis_bond_control_lag",
        "Offsets from the last record read of the control topic to its high watermark; absent while it cannot be read",
        lambda of: None if of.plan.control_reader.problem else of.plan.control_reader.lag,
    ),
)
