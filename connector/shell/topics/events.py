"""Writes feed events (sessions up and down, losses) to their topic, in order; while Kafka is away a bounded number waits, over restarts."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import structlog
from aiokafka.errors import UnknownTopicOrPartitionError

from connector.core import record_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WAITING_AT_MOST: Final = 1000
ROUND: Final = 100
RETRY_MIN_SECONDS: Final = 0.5
RETRY_MAX_SECONDS: Final = 15
LOSS: Final = "loss"
KEPT: Final = "events"  # the name of the text that holds those waiting

log = structlog.get_logger("connector.event_topic")


class Writer(Protocol):
    """What writes a batch and says of each record None or what went wrong; shell/kafka/record_writer.py."""

    async def write(self, records: Sequence[Any]) -> list[Exception | None]:
        """Write the batch in order."""

    async def close(self) -> None:
        """Let go of Kafka."""


class Memory(Protocol):
    """Saves small texts for the next process; shell/journal."""

    async def save(self, name: str, value: str) -> None:
        """Save a text under a name."""

    async def saved(self, name: str) -> str | None:
        """Return the text saved under a name."""


class EventRecord(NamedTuple):
    """One event as it stands in the topic; a loss is told nowhere else, so that it is given up last."""

    key: bytes
    value: bytes
    is_loss: bool


class EventTopic:
    """The event topic's writer; `dropped` counts events given up, the oldest first and losses last, because too many waited.

    `missing` says that there is no such topic. What waits is kept in `memory`, so that a loss is told of even if the process ends before
    Kafka is back; after a kill between an acknowledgement and the next write there, an event stands in the topic twice.
    """

    def __init__(self, writer: Writer, memory: Memory) -> None:
        self._writer = writer
        self._memory = memory
        self._waiting: deque[EventRecord] = deque()
        self._arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_restored = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self.dropped = 0
        self.problem: str | None = None
        self.missing: str | None = None

    @property
    def waiting(self) -> int:
        """How many events are not acknowledged yet."""
        return len(self._waiting)

    def publish(self, event: Mapping[str, Any]) -> None:
        """Queue one event (`event`, `at`, `slot`, `instrument`, `detail`); never waits."""
        key = event["instrument"] or f"{record_keys.SLOT}{event['slot']}"
        value = json.dumps(dict(event), ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")
        self._waiting.append(EventRecord(key.encode(), value, event["event"] == LOSS))
        self._note_arrival()

    def _note_arrival(self) -> None:
        while len(self._waiting) > WAITING_AT_MOST:
            del self._waiting[next((place for place, record in enumerate(self._waiting) if not record.is_loss), 0)]
            self.dropped += 1
        self._is_settled.clear()
        self._changed.set()
        self._arrived.set()

    async def keep(self) -> None:
        """Take over what the last process could not write, then keep what waits as it changes, until cancelled."""
        if kept := _events(await self._memory.saved(KEPT)):
            self._waiting.extendleft(reversed(kept))
            self._note_arrival()
        self._is_restored.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            waiting = [(record.key.decode(), record.value.decode()) for record in self._waiting]
            await self._memory.save(KEPT, json.dumps(waiting, ensure_ascii=False))
            if not self._waiting:
                self._is_settled.set()

    async def run(self) -> None:
        """Write until cancelled, once `keep` has begun; a failed round is tried again after a pause that doubles up to 15 s."""
        await self._is_restored.wait()
        try:
            await self._write_on()
        finally:
            await self._writer.close()

    async def _write_on(self) -> None:
        pause: float = RETRY_MIN_SECONDS
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                if (failure := await self._round()) is None:
                    pause, self.problem, self.missing = RETRY_MIN_SECONDS, None, None
                    continue
                if self.problem is None:
                    log.warning(
                        "events_not_written",
                        cause=type(failure).__name__,
                        error=str(failure),
                        waiting=len(self._waiting),
                    )
                self.problem = f"the event topic could not be written: {failure!r}"
                if isinstance(failure, UnknownTopicOrPartitionError):
                    self.missing = "the event topic is missing. Create it with `kis-bond topics init`."
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MAX_SECONDS)

    async def settle(self, seconds: float) -> bool:
        """Wait until every event is acknowledged, and none kept, for `seconds` at most, and tell whether it is so."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_settled.wait()
        except TimeoutError:
            return False
        return True

    async def _round(self) -> Exception | None:
        batch = list(islice(self._waiting, ROUND))
        try:
            outcomes = await self._writer.write(batch)
        except Exception as error:  # noqa: BLE001 - nothing of Kafka's may end the connector; what it was is said
            outcomes = [error] * len(batch)
        # From the first failure on everything is written again, so that an event is never behind a later one only.
        done = next((place for place, outcome in enumerate(outcomes) if outcome is not None), len(batch))
        for record in batch[:done]:
            if self._waiting and self._waiting[0] is record:  # else it was given up meanwhile
                self._waiting.popleft()
                self._changed.set()
        return next((outcome for outcome in outcomes if outcome is not None), None)


def _events(kept: str | None) -> list[EventRecord]:
    """Return the events kept by the last process; none where nothing readable was kept."""
    try:
        return [
            EventRecord(key.encode(), value.encode(), json.loads(value)["event"] == LOSS)
            for key, value in json.loads(kept or "[]")
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        log.warning("kept_events_unreadable", kept=kept)
        return []
