"""Membership in the consumer group whose members share the partitions of the tick topic.

What a member writes for a partition, it writes under `lock`. A revocation waits for that lock, and
takes all partitions away before the group gives them to others. Every partition that is assigned
is begun again from its own records, whoever had it before.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from connector.shell.kafka.closing import stop
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.waiting import pauses, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

POLL_MS: Final = 200
PIECE: Final = 1_000  # records; decoding them takes some 30 ms
FLUSH_SECONDS: Final = 1.0
CHECK_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 15.0
SESSION_MS: Final = 10_000

log = structlog.get_logger("connector.tick_group")


class Unusable(Exception):
    """The topics cannot be used as they are; the text says what to do about it."""


class Audit(Protocol):
    """What is done with the partitions of this member."""

    async def begin(self, partition: int, committed: int | None, offsets: range) -> None:
        """Restore the partition. `offsets` are those that its ticks have at present."""

    async def take(self, partition: int, records: Sequence[Any]) -> None:
        """Handle records of the partition, in order."""

    async def flush(self) -> Mapping[int, int]:
        """Write what changed, and return by partition the offset that may be committed."""

    def end_all(self) -> None:
        """Forget every partition: nothing more may be written for them."""

    def note_ends(self, ends: Mapping[int, int]) -> None:
        """Note where each partition of the topic ends."""


class TickGroup(ConsumerRebalanceListener):
    """One member of the group.

    `partitions` are those that are begun; `problem` says why the member cannot work at present.
    `counts` returns the numbers of partitions of the tick topic and of the coverage topic.
    """

    def __init__(
        self,
        names: tuple[str, str],
        group_id: str,
        client_arguments: Callable[[], Mapping[str, Any]],
        counts: Callable[[], Awaitable[tuple[int, int]]],
        audit: Audit,
    ) -> None:
        self._ticks, self._coverage = names
        self._group_id = group_id
        self._client_arguments = client_arguments
        self._counts = counts
        self._audit = audit
        self._assigned: set[int] = set()
        self._generation = 0
        self._consumer: Any = None
        self._committed: dict[int, int] = {}
        self.lock = asyncio.Lock()
        self.partitions: set[int] = set()
        self.is_member = False
        self.problem: str | None = "has not joined its group yet"

    async def run(self) -> None:
        """Work until cancelled; after each failure, pause and join again with a new client."""
        pause = pauses()
        while True:
            try:
                await self._work()
            except Unusable as error:
                problem = str(error)
            except (KafkaError, OSError, TimeoutError) as error:
                problem = f"{self._ticks} could not be audited: {describe(error)}"
                log.debug("audit_interrupted", error=repr(error))
            finally:
                self._drop_all()
            raise_if_cancelled()
            if problem != self.problem:
                log.warning("audit_stopped", problem=problem)
            self.problem = problem
            await asyncio.sleep(next(pause))

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Let go of every partition once nothing is being written."""
        async with self.lock:
            self._drop_all()
        log.info("partitions_revoked", partitions=sorted(each.partition for each in revoked))

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Pause the new partitions until they are begun."""
        if self._consumer is None:  # an assignment that comes while we leave
            return
        self._consumer.pause(*assigned)
        self._assigned = {each.partition for each in assigned}
        self._generation += 1
        self.is_member = True
        log.info("partitions_assigned", partitions=sorted(self._assigned))

    def _drop_all(self) -> None:
        self._generation += 1
        self._assigned = set()
        self.partitions = set()
        self._committed = {}
        self.is_member = False
        self._audit.end_all()

    async def _work(self) -> None:
        await self._check_topics()
        consumer = self._consumer = AIOKafkaConsumer(
            **self._client_arguments(),
            group_id=self._group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=SESSION_MS // 5,
            max_poll_interval_ms=300_000,
        )
        try:
            await consumer.start()
            consumer.subscribe([self._ticks], listener=self)
            flushed_at = checked_at = time.monotonic()
            while True:
                for partition in sorted(self._assigned - self.partitions):
                    await self._begin(partition)
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=PIECE)
                for place, records in batches.items():
                    if place.partition in self.partitions:
                        await self._audit.take(place.partition, records)
                self._note_ends()
                await asyncio.sleep(0)
                if time.monotonic() - flushed_at >= FLUSH_SECONDS:
                    await self.flush()
                    flushed_at = time.monotonic()
                if time.monotonic() - checked_at >= CHECK_SECONDS:
                    await self._check(consumer)
                    checked_at = time.monotonic()
        finally:
            self._consumer = None
            await stop(consumer)

    async def flush(self) -> None:
        """Write what changed, then commit."""
        async with self.lock:
            offsets = await self._audit.flush()
            generation = self._generation
        moved = {number: offset for number, offset in offsets.items() if self._committed.get(number) != offset}
        if not moved or self._consumer is None or generation != self._generation:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._consumer.commit(
                    {TopicPartition(self._ticks, number): offset for number, offset in moved.items()}
                )
        except (KafkaError, TimeoutError) as error:
            # A rebalance is under way, or the coordinator moved: the next flush commits.
            log.info("audit_not_committed", cause=type(error).__name__)
        else:
            if generation == self._generation:
                self._committed |= moved

    async def _begin(self, partition: int) -> None:
        place, generation = TopicPartition(self._ticks, partition), self._generation
        committed = await self._consumer.committed(place)
        first = (await self._consumer.beginning_offsets([place]))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        if generation != self._generation:
            return
        await self._audit.begin(partition, committed, range(first, end))
        if generation != self._generation:
            self._audit.end_all()
            return
        self.partitions.add(partition)
        self._consumer.resume(place)
        self.problem = None
        log.info("partition_begun", partition=partition, committed=committed)

    def _note_ends(self) -> None:
        ends = {}
        for number in self.partitions:
            highwater = self._consumer.highwater(TopicPartition(self._ticks, number))
            if highwater is not None:
                ends[number] = highwater
        self._audit.note_ends(ends)

    async def _check_topics(self) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            ticks, coverage = await self._counts()
        for name, count in ((self._ticks, ticks), (self._coverage, coverage)):
            if not count:
                raise Unusable(f"topic {name} does not exist or may not be described: run kis-bond topics init")
        if ticks != coverage:
            raise Unusable(
                f"topic {self._coverage} has {coverage} partitions and {self._ticks} has {ticks}: give both as many"
            )

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        """Raise if Kafka no longer answers this client, or if the topics no longer fit."""
        await self._check_topics()
        async with asyncio.timeout(ANSWER_SECONDS):
            places = [TopicPartition(self._ticks, number) for number in self.partitions]
            if places:
                self._audit.note_ends(
                    {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}
                )
        self.problem = None if self.is_member else self.problem
