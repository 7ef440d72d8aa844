"""Reads a compacted topic of one partition to the end it had at start, then follows it, whatever Kafka does meanwhile.

The end is reached by *position*, not by record: the last offsets may be transaction markers or compacted away, and with read_committed the
end is the last stable offset, so that nobody's open transaction is waited for. Where the broker answers that nothing follows, that is the
end too.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

POLL_MS: Final = 500
# A burst is handed over in pieces: whoever takes a piece computes on it, and holds up the event loop meanwhile.
PIECE_RECORDS: Final = 500
SILENCE_SECONDS: Final = 30
CLOSE_SECONDS: Final = 5
RETRY_MIN_SECONDS: Final = 0.5
RETRY_MAX_SECONDS: Final = 15

log = structlog.get_logger("connector.compacted_topic")


class TopicRecord(NamedTuple):
    """One committed record; `value` None is a tombstone."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


class _NotReadyError(Exception):
    """The topic cannot be used as it is; the text says what to do about it."""


class _StartOverError(Exception):
    """The records at our position are not there (the log start moved, or the topic was made anew)."""


class _SilentError(Exception):
    """No fetch was answered for so long that the client is taken as stuck: aiokafka never goes back to the bootstrap servers."""


class CompactedTopic:
    """Reader of one topic; `problem` is why it cannot be read at present, `lag` how many offsets are still to be read.

    `unusable` is set while the topic itself is the problem (missing, of the wrong shape), and not merely out of reach.

    `client_arguments` gives what every aiokafka client is built with, anew for each connection. `on_snapshot` gets a complete reading, at
    start and again when the position was lost, `on_records` what follows it. Neither may raise or wait.
    """

    def __init__(
        self,
        topic: str,
        client_arguments: Callable[[], Mapping[str, Any]],
        on_snapshot: Callable[[Sequence[TopicRecord]], None],
        on_records: Callable[[Sequence[TopicRecord]], None],
    ) -> None:
        self._topic = TopicPartition(topic, 0)
        self._client_arguments = client_arguments
        self._on_snapshot = on_snapshot
        self._on_records = on_records
        self._position: int | None = None
        self._retry_seconds: float = RETRY_MIN_SECONDS
        self.problem: str | None = None
        self.unusable: str | None = None
        self.lag: int | None = None
        self.restored = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; every failure is met by a new client, after a pause that doubles up to 15 s."""
        while True:
            try:
                await self._connected(self._follow)
            except _StartOverError:
                log.warning("topic_read_again", topic=self._topic.topic, position=self._position)
                self._position = None
                continue
            except Exception as error:  # noqa: BLE001 - nothing of Kafka's may end the connector; what it was is said
                self._failed(error)
            await asyncio.sleep(self._retry_seconds)
            self._retry_seconds = min(self._retry_seconds * 2, RETRY_MAX_SECONDS)

    def _failed(self, error: Exception) -> None:
        match error:
            case _NotReadyError() | _SilentError():
                said = str(error)
            case TopicAuthorizationFailedError():
                said = f"{self._topic.topic} may not be read: grant this user Read on it"
            case _:
                said = f"{self._topic.topic} could not be read: {error!r}"
        if said != self.problem:
            log.warning("topic_not_read", topic=self._topic.topic, cause=_cause(error), problem=said)
        self.problem = said
        self.unusable = said if isinstance(error, _NotReadyError) else self.unusable

    async def _connected(self, work: Callable[[AIOKafkaConsumer], Awaitable[None]]) -> None:
        consumer = AIOKafkaConsumer(
            **self._client_arguments(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )
        try:
            await consumer.start()
            await self._assign(consumer)
            await work(consumer)
        finally:
            await _closed(consumer.stop, consumer._client.close)  # noqa: SLF001 - no public way to the client; the version is pinned

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        name = self._topic.topic
        # All topics are asked for, because asking for one by name would create it on a broker that creates topics by itself.
        if name not in await consumer.topics():
            raise _NotReadyError(
                f"topic {name} does not exist or may not be described: run kis-bond topics init, or grant Describe and Read"
            )
        consumer.assign([self._topic])
        await consumer._client.force_metadata_update()  # noqa: SLF001 - no public way to the client; the version is pinned
        partitions = consumer.partitions_for_topic(name) or set()
        if len(partitions) > 1:
            raise _NotReadyError(
                f"topic {name} has {len(partitions)} partitions instead of 1: delete it, run kis-bond topics init and write the lists again"
            )
        policy = await self._cleanup_policy()
        if policy is not None and "compact" not in policy.split(","):
            raise _NotReadyError(
                f"topic {name} has cleanup.policy={policy}: set it to compact, else old records disappear"
            )

    async def _cleanup_policy(self) -> str | None:
        """Return the topic's clean-up policy, None where it cannot be known (no DescribeConfigs right, an old broker)."""
        admin = AIOKafkaAdminClient(**self._client_arguments())
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await admin.start()
                answers = await admin.describe_configs(
                    [ConfigResource(ConfigResourceType.TOPIC, self._topic.topic, {"cleanup.policy": None})]
                )
            found = [
                entry
                for answer in answers
                for resource in answer.to_object()["resources"]
                for entry in resource["config_entries"]
            ]
            return next((entry["config_value"] for entry in found if entry["config_names"] == "cleanup.policy"), None)
        except (KafkaError, TimeoutError, OSError, NotImplementedError):
            return None
        finally:
            await _closed(admin._client.close)  # noqa: SLF001 - no public way to the client; the version is pinned

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        begin = (await consumer.beginning_offsets([self._topic]))[self._topic]
        # With read_committed this is the last stable offset: an open transaction of anybody's ends the first reading, it cannot hang it.
        end = (await consumer.end_offsets([self._topic]))[self._topic]
        if self._position is not None and not begin <= self._position <= end:
            raise _StartOverError
        reading = self._position is None
        consumer.seek(self._topic, begin if reading else self._position)
        snapshot: list[TopicRecord] = []
        answered = _Answers(consumer, self._topic)
        while True:
            if reading and (await consumer.position(self._topic) >= end or answered.nothing_follows(end)):
                reading = False
                self._on_snapshot(snapshot)
                snapshot = []
                self.restored.set()
                log.info("topic_read_to_end", topic=self._topic.topic, end=end)
            if not reading:
                self._settled(await consumer.position(self._topic), consumer)
            batch = await self._polled(consumer, answered)
            if reading:
                snapshot += batch
            elif batch:
                begun = time.monotonic()
                self._on_records(batch)
                # What is fetched already comes without a pause; everybody else gets as much of the loop as this piece took.
                await asyncio.sleep(time.monotonic() - begun)

    def _settled(self, position: int, consumer: AIOKafkaConsumer) -> None:
        self._position = position
        self._retry_seconds = RETRY_MIN_SECONDS
        self.problem = self.unusable = None
        stable = consumer.last_stable_offset(self._topic)
        self.lag = None if stable is None else max(0, stable - position)

    async def _polled(self, consumer: AIOKafkaConsumer, answered: _Answers) -> list[TopicRecord]:
        try:
            batches = await consumer.getmany(self._topic, timeout_ms=POLL_MS, max_records=PIECE_RECORDS)
        except OffsetOutOfRangeError as error:
            raise _StartOverError from error
        answered.note(await consumer.position(self._topic), empty=not batches)
        if answered.silent_seconds > SILENCE_SECONDS:
            raise _SilentError(f"{self._topic.topic}: Kafka answered no fetch for {SILENCE_SECONDS} s")
        return [
            TopicRecord(record.key, record.value, record.partition, record.offset, record.timestamp, record.headers)
            for batch in batches.values()
            for record in batch
        ]


class _Answers:
    """Which fetches the broker answered, by the time aiokafka notes with each answer (a wall clock, so only its change counts)."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: TopicPartition) -> None:
        self._consumer = consumer
        self._topic = topic
        self._position: int | None = None
        self._stamp: int | None = None
        self._heard_at = time.monotonic()
        self._empty = 0

    def note(self, position: int, *, empty: bool) -> None:
        stamp = self._consumer.last_poll_timestamp(self._topic)
        is_answer = stamp != self._stamp
        if is_answer:
            self._heard_at = time.monotonic()
        if not empty or position != self._position:
            self._empty = 0
        elif is_answer:
            self._empty += 1
        self._stamp = stamp
        self._position = position

    @property
    def silent_seconds(self) -> float:
        return time.monotonic() - self._heard_at

    def nothing_follows(self, end: int) -> bool:
        """Tell whether the broker, asked at this position, answered with nothing although it knows of `end`.

        Asked twice: the first answer may have been waiting in aiokafka's buffer when the position was looked at.
        """
        stable = self._consumer.last_stable_offset(self._topic)
        return self._empty >= 2 and stable is not None and stable >= end


def _cause(error: Exception) -> str:
    match error:
        case _NotReadyError():
            return "unusable"
        case _SilentError():
            return "silent"
        case _:
            return type(error).__name__


async def _closed(*closings: Callable[[], Awaitable[None]]) -> None:
    """Close within a deadline. In tasks of their own: aiokafka's stop can raise the CancelledError of a task it cancelled itself."""
    for closing in closings:
        task = asyncio.ensure_future(closing())
        await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        if not task.done():
            task.cancel()
        elif not task.cancelled() and (error := task.exception()) is not None:
            log.debug("client_not_closed_cleanly", error=repr(error))
