"""Reads a compacted topic of one partition to the end it had at start, then follows it.

The consumer's *position* shows that the end is reached. The last record does not show it, because
the last offsets may be transaction markers, or compacted away. With read_committed the end is the
last stable offset, so that an open transaction delays nothing. The end is also reached when the
broker answers that nothing follows.
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

from connector.shell.kafka.clients import has_topic
from connector.shell.kafka.closing import close, stop
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.waiting import in_turns, pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

POLL_MS: Final = 500
# A burst is passed on in pieces, because each piece blocks the event loop while it is processed.
PIECE_RECORDS: Final = 500
PIECE_BYTES: Final = 64 * 1024
SILENCE_SECONDS: Final = 30
# Longer keys and values are cut, to save memory. Values above 1 MiB are refused, cut or not.
FIELD_BYTES: Final = 2 * 2**20
HEADERS: Final = 20  # of one record that we read; our own records have one
# If a complete reading grows above this size, we drop the records that compaction would drop. If
# more than half the size is left, we do not read the topic, because it would take all memory.
READING_BYTES: Final = 128 * 2**20
RECORD_BYTES: Final = 500  # memory of a record beside its key and value
CONFIG_SECONDS: Final = 5
CLOSE_SECONDS: Final = 5

log = structlog.get_logger("connector.compacted_topic")


class TopicRecord(NamedTuple):
    """One committed record; a tombstone has the `value` None."""

    key: bytes | None
    value: bytes | None
    partition: int
    offset: int
    timestamp_ms: int
    headers: Sequence[tuple[str, bytes]] = ()


class _NotReadyError(Exception):
    """The topic cannot be used as it is; the text says what to do about it."""


class _StartOverError(Exception):
    """The records at our position are gone: the log start moved, or the topic was created again."""


class _SilentError(Exception):
    """Kafka answered no fetch for a long time.

    A new client is needed, because aiokafka never goes back to the bootstrap servers.
    """


class CompactedTopic:
    """Reads one compacted topic, and passes its records on.

    `problem` says why the topic cannot be read at present. `unusable` says what is wrong with the
    topic itself: it is missing, or it has the wrong shape. An unreachable Kafka does not set
    `unusable`. `lag` counts the offsets that are not read yet. `client_arguments` is called for
    each new client, and returns the arguments of an aiokafka client. `on_snapshot` gets a complete
    reading. It is called at start, and again when the position was lost. `on_records` gets the
    records after that reading. Both may process the records in steps. Neither may raise or wait.
    """

    def __init__(
        self,
        topic: str,
        client_arguments: Callable[[], Mapping[str, Any]],
        on_snapshot: Callable[[Sequence[TopicRecord]], Generator[None, None, Any] | None],
        on_records: Callable[[Sequence[TopicRecord]], Generator[None, None, Any] | None],
    ) -> None:
        self._topic = TopicPartition(topic, 0)
        self._client_arguments = client_arguments
        self._on_snapshot = on_snapshot
        self._on_records = on_records
        self._position: int | None = None
        self._pauses = pauses()
        self.problem: str | None = None
        self.unusable: str | None = None
        self.lag: int | None = None
        self.restored = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; after each failure, pause and try again with a new client."""
        while True:
            try:
                await self._connect_and_read()
            except _StartOverError:
                log.warning("topic_read_again", topic=self._topic.topic, position=self._position)
                self._position = None
                continue
            except Exception as error:  # noqa: BLE001 - no error of Kafka's client may end the connector; it is logged
                self._note_failure(error)
            await asyncio.sleep(next(self._pauses))

    def _note_failure(self, error: Exception) -> None:
        match error:
            case _NotReadyError() | _SilentError():
                problem = str(error)
            case TopicAuthorizationFailedError():
                problem = f"{self._topic.topic} may not be read: grant this user Read on it"
            case _:
                problem = f"{self._topic.topic} could not be read: {describe(error)}"
        if problem != self.problem:
            log.warning("topic_not_read", topic=self._topic.topic, cause=_cause(error), problem=problem)
        self.problem = problem
        self.unusable = problem if isinstance(error, _NotReadyError) else self.unusable

    async def _connect_and_read(self) -> None:
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
            await self._read(consumer)
        finally:
            await stop(consumer, CLOSE_SECONDS)

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        name = self._topic.topic
        if not await has_topic(consumer, name):
            raise _NotReadyError(
                f"topic {name} does not exist or may not be described:"
                " run kis-bond topics init, or grant Describe and Read"
            )
        consumer.assign([self._topic])
        await consumer._client.force_metadata_update()  # noqa: SLF001 - no public way; the version is pinned
        partitions = consumer.partitions_for_topic(name) or set()
        if len(partitions) > 1:
            raise _NotReadyError(
                f"topic {name} has {len(partitions)} partitions instead of 1:"
                " delete it, run kis-bond topics init and write the lists again"
            )
        policy = await self._cleanup_policy()
        if policy is not None and "compact" not in policy.split(","):
            raise _NotReadyError(
                f"topic {name} has cleanup.policy={policy}: set it to compact, else old records disappear"
            )

    async def _cleanup_policy(self) -> str | None:
        """Return the topic's clean-up policy, or None if the broker does not tell us.

        We may lack the right DescribeConfigs, or the broker may be too old.
        """
        admin = AIOKafkaAdminClient(**self._client_arguments())
        try:
            async with asyncio.timeout(CONFIG_SECONDS):
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
            await close(admin._client.close, CLOSE_SECONDS)  # noqa: SLF001 - no public way; the version is pinned

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        begin = (await consumer.beginning_offsets([self._topic]))[self._topic]
        # With read_committed this is the last stable offset: the first reading ends before an open
        # transaction instead of waiting for it.
        end = (await consumer.end_offsets([self._topic]))[self._topic]
        if self._position is not None and not begin <= self._position <= end:
            raise _StartOverError
        reading = self._position is None
        consumer.seek(self._topic, begin if reading else self._position)
        snapshot = _Snapshot(self._topic.topic)
        answered = _Answers(consumer, self._topic)
        while True:
            if reading and (await consumer.position(self._topic) >= end or answered.nothing_follows(end)):
                reading = False
                await _process(self._on_snapshot(snapshot.records))
                snapshot = _Snapshot(self._topic.topic)
                self.restored.set()
                log.info("topic_read_to_end", topic=self._topic.topic, end=end)
            if not reading:
                self._note_position(await consumer.position(self._topic), consumer)
            batch = await self._poll(consumer, answered)
            if reading:
                snapshot.add(batch)
            elif batch:
                for piece in _pieces(batch):
                    begun = time.monotonic()
                    await _process(self._on_records(piece))
                    # aiokafka returns fetched records without a pause. So give other tasks as much
                    # time as this piece took.
                    await asyncio.sleep(time.monotonic() - begun)

    def _note_position(self, position: int, consumer: AIOKafkaConsumer) -> None:
        self._position = position
        self._pauses = pauses()
        self.problem = self.unusable = None
        stable = consumer.last_stable_offset(self._topic)
        self.lag = None if stable is None else max(0, stable - position)

    async def _poll(self, consumer: AIOKafkaConsumer, answered: _Answers) -> list[TopicRecord]:
        try:
            batches = await consumer.getmany(self._topic, timeout_ms=POLL_MS, max_records=PIECE_RECORDS)
        except OffsetOutOfRangeError as error:
            raise _StartOverError from error
        answered.note(await consumer.position(self._topic), empty=not batches)
        if answered.silent_seconds > SILENCE_SECONDS:
            raise _SilentError(f"{self._topic.topic}: Kafka answered no fetch for {SILENCE_SECONDS} s")
        return [
            TopicRecord(
                _cut(record.key),
                _cut(record.value),
                record.partition,
                record.offset,
                record.timestamp,
                [(name[:FIELD_BYTES], _cut(value) or b"") for name, value in record.headers[:HEADERS]],
            )
            for batch in batches.values()
            for record in batch
        ]


async def _process(steps: Generator[None, None, Any] | None) -> None:
    if steps is not None:
        await in_turns(steps)


def _pieces(batch: Sequence[TopicRecord]) -> Iterator[list[TopicRecord]]:
    """Split records into pieces of about PIECE_BYTES, because large lists take long to judge."""
    piece: list[TopicRecord] = []
    size = 0
    for record in batch:
        piece.append(record)
        size += len(record.value or b"")
        if size >= PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


class _Snapshot:
    """The records of a complete reading, in order and of bounded size."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._bytes = 0
        self.records: list[TopicRecord] = []

    def add(self, batch: Sequence[TopicRecord]) -> None:
        """Add records. Raises _NotReadyError if the topic holds too much."""
        self.records += batch
        self._bytes += sum(map(_size, batch))
        if self._bytes <= READING_BYTES:
            return
        latest = {record.key: record for record in self.records}
        self.records = sorted(latest.values(), key=lambda record: record.offset)
        self._bytes = sum(map(_size, self.records))
        if self._bytes > READING_BYTES // 2:
            raise _NotReadyError(
                f"the latest records of topic {self._topic} take more than {READING_BYTES // 2 // 2**20} MiB:"
                " remove the keys that are not needed"
            )


def _size(record: TopicRecord) -> int:
    return RECORD_BYTES + len(record.key or b"") + len(record.value or b"")


class _Answers:
    """Finds out which fetches the broker answered.

    aiokafka notes the wall clock's time of each answer. We use only the fact that the time changed.
    """

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
        """Whether the broker's log reaches `end`, and two fetches at our position found nothing.

        One empty answer is not enough, because it may have been in aiokafka's buffer already.
        """
        stable = self._consumer.last_stable_offset(self._topic)
        return self._empty >= 2 and stable is not None and stable >= end


def _cut(field: bytes | None) -> bytes | None:
    return field if field is None else field[:FIELD_BYTES]


def _cause(error: Exception) -> str:
    match error:
        case _NotReadyError():
            return "unusable"
        case _SilentError():
            return "silent"
        case _:
            return type(error).__name__
