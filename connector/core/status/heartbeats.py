"""Dates the slot records that other replicas write by our own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.core.record_keys import SLOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.core.status.records import Record


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
