"""What is said about a hole: the events `gap` and `backfill`.

Order of writes: the record with `"announced": false`, the events, the record with `true`. After a
restart all holes that are still `false` are announced again, under the same id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector.core.coverage.record import neighbour
from connector.core.event import Event, Kind

if TYPE_CHECKING:
    from connector.core.coverage.day import Day
    from connector.core.coverage.hole import Hole


@dataclass(frozen=True, slots=True)
class Announcement:
    """The events to write for a hole, in order. `is_filled`: the last of them says so."""

    hole: Hole
    events: tuple[Event, ...]
    is_filled: bool

    def acknowledge(self, day: Day) -> None:
        """Record that Kafka has the events. A hole filled meanwhile is announced once more."""
        self.hole.has_gap_event = True
        self.hole.is_announced = self.is_filled == (self.hole.state == "FILLED")
        day.is_changed = True


def announcements(day: Day, at: str) -> list[Announcement]:
    """Return what Kafka does not know of the day's holes yet. `at` is the present time, RFC 3339.

    A hole that was filled before its gap was announced gets both events.
    """
    found = []
    for hole in day.unannounced():
        is_filled = hole.state == "FILLED"
        events: tuple[Event, ...] = () if hole.has_gap_event else (_event("gap", day, hole, at),)
        if is_filled:
            events += (_event("backfill", day, hole, at),)
        found.append(Announcement(hole, events, is_filled))
    return found


def _event(kind: Kind, day: Day, hole: Hole, at: str) -> Event:
    slot = next((side.slot for side in (hole.after, hole.before) if side and side.slot is not None), None)
    detail: dict[str, Any] = {
        "id": hole.id,
        "trade_date": day.trade_date.isoformat(),
        "from_volume": hole.low,
        "to_volume": hole.high,
        "volume": hole.high - hole.low,
        "after": neighbour(hole.after),
        "before": neighbour(hole.before),
        "cause": hole.cause,
    }
    if kind == "backfill":
        detail["by"] = hole.filled_by
    return Event(kind, at, slot, day.isin, detail)
