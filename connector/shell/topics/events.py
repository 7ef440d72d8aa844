"""Writes feed events (such as sessions up and down, losses) to their topic, in order.

While Kafka is out of reach, a bounded number of events waits. They are kept over a restart.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import structlog
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from connector.core.event import LOSS
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.record_writer import Outgoing
from connector.shell.kafka.waiting import pauses, within

if TYPE_CHECKING:
    from connector.core.event import Event
    from connector.shell.kafka.record_writer import RecordWriter

WAITING_AT_MOST: Final = 1000
ROUND: Final = 100
ROOM_BELOW: Final = 200  # so many waiting events leave room for others, and keep the writer busy
SESSION_KINDS: Final = ("session_up", "session_down")
SAVED: Final = "events"  # the name under which the journal saves the waiting events

log = structlog.get_logger("connector.event_topic")


class Memory(Protocol):
    """Saves small texts for the next process; implemented in shell/journal."""

    async def save(self, name: str, value: str) -> None:
        """Save a text under a name."""

    async def saved(self, name: str) -> str | None:
        """Return the text saved under a name."""


class EventRecord(NamedTuple):
    """One event as the topic holds it.

    Events that report a loss are dropped last, because nothing else reports the loss.
    """

    key: bytes
    value: bytes
    kind: str

    @property
    def is_loss(self) -> bool:
        """Whether the event reports a loss."""
        return self.kind == LOSS

    @property
    def is_end_of_own_session(self) -> bool:
        """Whether the run that wrote the event told of the end of a session of its own.

        A run tells of a session that an earlier run left open before it opens one itself.
        """
        match json.loads(self.value):
            case {"detail": {"cause": "killed"}}:
                return False
        return self.kind == "session_down"


class EventTopic:
    """Writes events to the event topic.

    `dropped` counts the events that were given up because too many waited, or because Kafka refused
    one as too large. The oldest events are given up first, and losses last. `problem` says why
    nothing is written at present. `missing`
    says that the topic does not exist. `told_ends` holds the keys `slot/<k>` of the sessions whose
    end was among the events that the last process left. The waiting events are saved, so that a
    loss is reported even if the process ends before Kafka is back. If the process is killed between
    an acknowledgement and the next save, the topic holds an event twice.
    """

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer
        self._waiting: deque[EventRecord] = deque()
        self._arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_restored = asyncio.Event()
        self._is_written = asyncio.Event()
        self._is_hurried = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_written.set()
        self._has_room.set()
        self._at_once = ROUND
        self.dropped = 0
        self.problem: str | None = None
        self.missing: str | None = None
        self.told_ends: frozenset[str] = frozenset()

    @property
    def waiting(self) -> int:
        """The number of events that Kafka has not acknowledged yet."""
        return len(self._waiting)

    def publish(self, event: Event) -> None:
        """Queue one event without waiting."""
        value = json.dumps(event.to_json(), ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
        self._waiting.append(EventRecord(event.key.encode(), value, event.event))
        self._note_arrival()

    def _note_arrival(self) -> None:
        while len(self._waiting) > WAITING_AT_MOST:
            del self._waiting[next((place for place, record in enumerate(self._waiting) if not record.is_loss), 0)]
            self.dropped += 1
        self._is_written.clear()
        self._changed.set()
        self._arrived.set()
        self._note_room()

    def _note_room(self) -> None:
        if len(self._waiting) < ROOM_BELOW:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def room(self) -> None:
        """Wait until few events wait. For events of which many come at once."""
        await self._has_room.wait()

    async def save_waiting(self, memory: Memory) -> None:
        """Queue the last process's saved events, then save the waiting events at each change."""
        if saved := _decode(await memory.saved(SAVED)):
            self._waiting.extendleft(reversed(saved))
            last = {record.key.decode(): record for record in saved if record.kind in SESSION_KINDS}
            self.told_ends = frozenset(key for key, record in last.items() if record.is_end_of_own_session)
            self._note_arrival()
        self._is_restored.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self.save(memory) and not self._waiting:  # what was saved may have been written since
                self._is_written.set()

    async def save(self, memory: Memory) -> int:
        """Save the events that wait at present, and return their number."""
        waiting = [(record.key.decode(), record.value.decode()) for record in self._waiting]
        await memory.save(SAVED, json.dumps(waiting, ensure_ascii=False))
        return len(waiting)

    async def run(self) -> None:
        """Wait until `save_waiting` has queued the saved events, then write until cancelled."""
        await self._is_restored.wait()
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                await self._write_waiting()
        finally:
            await self._writer.close()

    async def _write_waiting(self) -> None:
        pause = pauses()
        while self._waiting:
            if failure := await self._write_round():
                self._note_failure(failure)
                await within(self._is_hurried, next(pause))
                self._is_hurried.clear()
            else:
                self.problem = self.missing = None
                pause = pauses()

    async def _write_round(self) -> Exception | None:
        batch = list(islice(self._waiting, self._at_once))
        outcomes = await self._writer.write([Outgoing(record.key, record.value) for record in batch])
        # From the first failed event on, all events are written again, to keep their order.
        done = next((place for place, outcome in enumerate(outcomes) if outcome is not None), len(batch))
        failure = None if done == len(batch) else outcomes[done]
        # Kafka may refuse a batch as too large. Only an event that it refuses alone is too large.
        is_too_large = isinstance(failure, MessageSizeTooLargeError)
        self._at_once = 1 if is_too_large else ROUND
        if is_too_large and len(batch) == 1:
            log.error("event_too_large", key=batch[0].key.decode(), kind=batch[0].kind, bytes=len(batch[0].value))
            self.dropped += 1
            done = 1
        for record in batch[:done]:
            if self._waiting and self._waiting[0] is record:  # if not, it was given up meanwhile
                self._waiting.popleft()
                self._changed.set()
        self._note_room()
        return None if is_too_large else failure

    def _note_failure(self, failure: Exception) -> None:
        if self.problem is None:
            log.warning(
                "events_not_written", cause=type(failure).__name__, error=str(failure), waiting=len(self._waiting)
            )
        self.problem = f"the event topic could not be written: {describe(failure)}"
        if isinstance(failure, UnknownTopicOrPartitionError):
            self.missing = "the event topic is missing. Create it with `kis-bond topics init`."

    async def wait_until_written(self, seconds: float) -> bool:
        """Wait at most `seconds` until every event is acknowledged; return whether all are.

        A pause after a failure ends at once, because a stop may not last as long.
        """
        self._is_hurried.set()
        return await within(self._is_written, seconds)


def _decode(saved: str | None) -> list[EventRecord]:
    """Return the events that the last process saved, or none if the text cannot be read."""
    try:
        return [
            EventRecord(key.encode(), value.encode(), str(json.loads(value)["event"]))
            for key, value in json.loads(saved or "[]")
        ]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        log.warning("kept_events_unreadable", kept=saved)
        return []
