"""One event of the feed-events topic: something that happened to a session, bond or topic."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from connector.core.record_keys import SLOT

Kind = Literal[
    "session_up",
    "session_down",
    "registration_lost",
    "loss",
    "topic_restarted",
    "partitions_changed",
    "wanted",
    "unwanted",
    "gap",
    "backfill",
]
LOSS: Final = "loss"
TOPIC_RESTARTED: Final = "topic_restarted"
PARTITIONS_CHANGED: Final = "partitions_changed"
WANTED: Final = "wanted"
UNWANTED: Final = "unwanted"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, when (RFC 3339, UTC), and to what. `detail` holds JSON values.

    An event that concerns no slot and no bond has the name of its topic in `detail`.
    """

    event: Kind
    at: str
    slot: int | None
    instrument: str | None
    detail: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The key of the event's record: the ISIN, else `slot/<k>`, else the topic's name."""
        if self.instrument is not None:
            return self.instrument
        return str(self.detail["topic"]) if self.slot is None else f"{SLOT}{self.slot}"

    def to_json(self) -> dict[str, Any]:
        """Return the event's JSON object, as the topic and `/status` show it."""
        return {
            "event": self.event,
            "at": self.at,
            "slot": self.slot,
            "instrument": self.instrument,
            "detail": dict(self.detail),
        }
