"""Reports, when this replica takes a slot, the session that a killed connector left open there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.core.record_keys import SLOT
from connector.core.status import killed_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from connector.core.event import Event
    from connector.core.status import Record


class KilledSessions:
    """Looks once at the record of each slot that this run holds, before the run overwrites it.

    `owner` is the name of this replica. `started_at` is when this run began, in RFC 3339.
    `told_ends` returns the keys `slot/<k>` of the slots whose session our last run ended in order,
    although Kafka was away and their last record could not say so.
    """

    def __init__(
        self,
        owner: str,
        started_at: str,
        on_event: Callable[[Event], None],
        told_ends: Callable[[], AbstractSet[str]],
    ) -> None:
        self._owner = owner
        self._started_at = started_at
        self._on_event = on_event
        self._told_ends = told_ends
        self._seen: frozenset[int] = frozenset()

    def look(self, slots: Iterable[int], records: Mapping[str, Record]) -> None:
        """Look at the records of the slots that were not held at the last call."""
        held = frozenset(slots)
        for slot in sorted(held - self._seen):
            event = killed_session(slot, records.get(f"{SLOT}{slot}", {}), self._owner, self._started_at)
            if event is not None and not self._is_told(event):
                self._on_event(event)
        self._seen = held

    def _is_told(self, event: Event) -> bool:
        return event.detail["owner"] == self._owner and event.key in self._told_ends()
