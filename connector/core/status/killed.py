"""Finds a session that a killed connector left open, in the slot's last status record."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from connector.core.event import Event

if TYPE_CHECKING:
    from connector.core.status.records import Record

MESSAGE: Final = "The connector ended without closing its session"


def killed_session(slot: int, record: Record, owner: str, started_at: str) -> Event | None:
    """Return the `session_down` that is missing for the session in this record, or None.

    `record` is the latest record of `slot/<k>`, before this run wrote one. `owner` is our name, and
    `started_at` (RFC 3339) is when this run began. A session was open if the record says
    CONNECTED: the owner writes `session_down` before it writes another state. A record of our own
    name from after the start is about a session of this run. The record of a connector that was
    killed says when it was last seen alive.
    """
    alive_at, other = _time(record.get("alive_at")), record.get("owner")
    if record.get("state") != "CONNECTED" or alive_at is None or not isinstance(other, str):
        return None
    if other == owner and alive_at >= datetime.fromisoformat(started_at):
        return None
    opened_at = _time(record.get("since")) or alive_at
    return Event(
        "session_down",
        str(record["alive_at"]),
        slot,
        None,
        {
            "owner": other,
            "cause": "killed",
            "code": None,
            "message": MESSAGE,
            "connected_seconds": round(max(0.0, (alive_at - opened_at).total_seconds()), 3),
        },
    )


def _time(text: object) -> datetime | None:
    """Return a time that names its zone, or None."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
