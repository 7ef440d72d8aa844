"""How long the owner of each slot has been silent while we listened."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from connector.core.record_keys import SLOT
from connector.core.status.records import SILENT_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connector.core.status.records import Record

SILENT_SECONDS: Final = SILENT_AFTER.total_seconds()
CLOCK_TOLERANCE_SECONDS: Final = 30.0
LONGEST_NAME: Final = 200  # characters of an owner; anyone may have written the record


class _Heard(NamedTuple):
    """A slot record, when we first read it, and how far its writer's clock was ahead of ours."""

    record: Record
    at: float
    seconds_ahead: float


class Heartbeats:
    """When each slot record in the status topic was first read.

    Times are the seconds for which we have followed the topic. So neither a clock that is set, nor
    Kafka out of reach, nor a process that was frozen makes an owner look silent. A record that we
    read again keeps the time of the first reading. So reading the topic again does not make a
    silent owner look alive.
    """

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}

    def note(self, records: Mapping[str, Record | None], now: float, clock: str) -> None:
        """Note the slot records that were read at `now`, when our clock showed `clock`."""
        for key, record in records.items():
            if record is None or not key.startswith(SLOT):
                continue
            if key not in self._heard or self._heard[key].record != record:
                self._heard[key] = _Heard(record, now, _seconds_ahead(record, clock))

    def silent(self, slots: Iterable[int], now: float, seconds: float = SILENT_SECONDS) -> frozenset[int]:
        """Return which of these slots have had no new record for so many seconds, or none ever."""
        heard = {slot: self._heard.get(f"{SLOT}{slot}") for slot in slots}
        return frozenset(slot for slot, last in heard.items() if last is None or now >= last.at + seconds)

    def clocks_ahead(self, now: float) -> dict[str, float]:
        """Return the owners whose clocks are ahead of ours by more than the tolerance, in seconds.

        An owner that is silent or has left its slot is not told: it may be gone.
        """
        return {
            owner[:LONGEST_NAME]: seconds_ahead
            for record, at, seconds_ahead in self._heard.values()
            if now < at + SILENT_SECONDS and seconds_ahead > CLOCK_TOLERANCE_SECONDS
            if isinstance(owner := record.get("owner"), str)
        }


def _seconds_ahead(record: Record, clock: str) -> float:
    """Return how far the clock of a slot record's writer is ahead of ours, or 0.

    A clock that is behind cannot be told from a record that was read late. But the clocks of two
    replicas differ for both, so the replica whose clock is behind finds out.
    """
    try:
        ahead = datetime.fromisoformat(str(record.get("alive_at"))) - datetime.fromisoformat(clock)
    except (ValueError, TypeError):
        return 0.0
    return ahead.total_seconds()
