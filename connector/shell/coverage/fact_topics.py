"""Reads the topics that tell causes to their end, then follows them.

They are the status topic, the event topic and the dead letters.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connector.shell.kafka.closing import stop
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.metadata import fetch_metadata
from connector.shell.kafka.waiting import pauses, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

POLL_MS: Final = 300
PIECE: Final = 500
# Older events explain no hole of which there may still be an event.
KEPT_DAYS: Final = 12
CHECK_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 15.0

log = structlog.get_logger("connector.fact_topics")


class MissingTopic(Exception):
    """A topic does not exist, or we may not describe it."""


class FactTopics:
    """Follows all partitions of several topics without a group.

    `whole` are compacted topics, which are read from their start; of the others, `recent`, only the
    last days are read. `on_record` gets each record. `restored` is set once every topic was read to
    the end that it had at the start. `problem` says why the topics cannot be read at present.
    """

    def __init__(
        self,
        whole: Sequence[str],
        recent: Sequence[str],
        client_arguments: Callable[[], Mapping[str, Any]],
        on_record: Callable[[Any], None],
    ) -> None:
        self._whole, self._recent = whole, recent
        self._client_arguments = client_arguments
        self._on_record = on_record
        self._positions: dict[TopicPartition, int] = {}
        self.problem: str | None = "the topics of causes are not read to their end yet"
        self.restored = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; after each failure, pause and try again with a new client."""
        pause = pauses()
        while True:
            try:
                await self._follow()
            except MissingTopic as error:
                problem = str(error)
            except (KafkaError, OSError, TimeoutError) as error:
                problem = f"the topics of causes could not be read: {describe(error)}"
            raise_if_cancelled()
            if problem != self.problem:
                log.warning("fact_topics_not_read", problem=problem)
            self.problem = problem
            await asyncio.sleep(next(pause))

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._client_arguments(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        try:
            await consumer.start()
            places = await self._assign(consumer)
            ends = await consumer.end_offsets(places)
            checked_at = time.monotonic()
            while True:
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=PIECE)
                for place, records in batches.items():
                    for record in records:
                        self._on_record(record)
                    self._positions[place] = records[-1].offset + 1
                if not self.restored.is_set() or self.problem:
                    await self._note_end(consumer, ends)
                await asyncio.sleep(0)
                if time.monotonic() - checked_at > CHECK_SECONDS:
                    checked_at = time.monotonic()
                    await self._check(consumer, places)
        finally:
            await stop(consumer)

    async def _assign(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        found = await self._partitions(consumer)
        for name, numbers in found.items():
            if not numbers:
                raise MissingTopic(f"topic {name} does not exist or may not be described: run kis-bond topics init")
        places = [TopicPartition(name, number) for name, numbers in found.items() for number in sorted(numbers)]
        consumer.assign(places)
        begins = await consumer.beginning_offsets(places)
        since = await self._since(consumer, [place for place in places if place.topic in self._recent])
        for place in places:
            start = max(begins[place], since.get(place, 0))
            known = self._positions.get(place)
            consumer.seek(place, start if known is None else max(known, begins[place]))
        return places

    async def _since(self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where to start in each partition, if the broker can look up times."""
        since_ms = int((time.time() - KEPT_DAYS * 86_400) * 1000)
        with contextlib.suppress(KafkaError):
            found = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
            ends = await consumer.end_offsets(list(places))
            return {place: ends[place] if entry is None else entry.offset for place, entry in found.items()}
        return {}

    async def _note_end(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        for place, end in ends.items():
            if await consumer.position(place) < end:
                return
        self.problem = None
        self.restored.set()

    async def _check(self, consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> None:
        """Raise if Kafka is silent or a topic grew: both need a new client."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await consumer.end_offsets(list(places))
            found = await self._partitions(consumer)
        for name, numbers in found.items():
            if numbers != {place.partition for place in places if place.topic == name}:
                raise KafkaError(f"{name} has another number of partitions than before")

    async def _partitions(self, consumer: AIOKafkaConsumer) -> dict[str, set[int]]:
        """Return the partitions of each topic, none for a topic that we may not describe."""
        names = (*self._whole, *self._recent)
        cluster = await fetch_metadata(consumer._client, names)  # noqa: SLF001 - no public way; the version is pinned
        return {name: cluster.partitions_for_topic(name) or set() for name in names}
