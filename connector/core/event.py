"""One event of the feed-events topic: what happened to a session, to frames, or to coverage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["session_up", "session_down", "loss", "gap", "backfill"]
LOSS: Final = "loss"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, when (RFC 3339, UTC), and to what. `detail` holds JSON values."""

    event: Kind
    at: str
    slot: int | None
    instrument: str | None
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the event's JSON object, as the topic and `/status` show it."""
        return {
            "event": self.event,
            "at": self.at,
            "slot": self.slot,
            "instrument": self.instrument,
            "detail": dict(self.detail),
        }
