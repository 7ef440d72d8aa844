"""Publishes every feed event of this run, and keeps the latest for the status page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from connector.app.clock import now, rfc3339
from connector.core.event import LOSS, PARTITIONS_CHANGED, TOPIC_RESTARTED, Event

if TYPE_CHECKING:
    from connector.shell.journal import Loss
    from connector.shell.topics.events import EventTopic

RECENT_EVENTS: Final = 100


class EventLog:
    """`recent` holds the latest events, oldest first; `was_up` is true once a session was open.

    `owner` is the name of this replica, as in the slots' status records.
    """

    def __init__(self, topic: EventTopic, owner: str) -> None:
        self.topic = topic
        self._owner = owner
        self.recent: list[Event] = []
        self.was_up = False

    def record(self, event: Event) -> None:
        """Publish an event."""
        self.was_up = self.was_up or event.event == "session_up"
        self.recent = [*self.recent[1 - RECENT_EVENTS :], event]
        self.topic.publish(event)

    def record_session(self, event: Event) -> None:
        """Publish an event of a session, and name the replica whose session it is."""
        self.record(replace(event, detail={"owner": self._owner, **event.detail}))

    def record_restart(self, topic: str, reason: str) -> None:
        """Publish that a compacted topic was read again, because it was deleted or lost records."""
        self.record(Event(TOPIC_RESTARTED, now(), None, None, {"topic": topic, "reason": reason}))

    def record_partitions(self, topic: str, before: int, after: int, *, adopted: bool) -> None:
        """Publish that a topic has another number of partitions, and whether ticks go by it."""
        detail = {"topic": topic, "before": before, "after": after, "adopted": adopted, "owner": self._owner}
        self.record(Event(PARTITIONS_CHANGED, now(), None, None, detail))

    def record_loss(self, loss: Loss) -> None:
        """Publish a loss: frames that were received but given up."""
        detail = {
            "frames": loss.frames,
            "bytes": loss.bytes,
            "from": rfc3339(loss.from_ns),
            "to": rfc3339(loss.to_ns),
            "reason": loss.reason,
        }
        self.record(Event(LOSS, now(), loss.slot, None, detail))
