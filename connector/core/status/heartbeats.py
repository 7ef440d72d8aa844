"""Dates the slot records that other replicas write by our own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.core.record_keys import SLOT
from connector.core.status.records import SILENT_AFTER, clock_ahead, is_due

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.status.records import Record

CLOCK_TOLERANCE_SECONDS: Final = 30.0
LONGEST_NAME: Final = 200  # characters of an owner; anyone may have written the record


class Heartbeats:
    """When each slot record in the status topic was first read.

    The clocks of two replicas may differ, so we cannot compare a writer's time with ours. A record
    that we read again keeps the time of the first reading. So reading the topic again does not make
    a silent owner look alive.
    """

    def __init__(self) -> None:
        self._read: dict[str, tuple[Record, str]] = {}

    def dated(self, records: Mapping[str, Record], now: str) -> dict[str, Record]:
        """Return the records; in those of slots, `alive_at` is when we first read the record."""
        found = dict(records)
        for key, record in records.items():
            if key.startswith(SLOT):
                written, at = self._read.get(key, ({}, now))
                if written != record:
                    at = now
                self._read[key] = record, at
                found[key] = {**record, "alive_at": at}
        return found

    def clocks_ahead(self, now: str) -> dict[str, float]:
        """Return the owners whose clocks are ahead of ours by more than the tolerance, in seconds.

        An owner that is silent is left out: it may be gone.
        """
        heard = [(record, at) for record, at in self._read.values() if not is_due(at, now, SILENT_AFTER)]
        ahead = {str(record.get("owner"))[:LONGEST_NAME]: clock_ahead(record, at) for record, at in heard}
        return {owner: seconds for owner, seconds in ahead.items() if seconds > CLOCK_TOLERANCE_SECONDS}
