"""Reads a compacted topic of one partition from its beginning at each connection, then follows it.

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
from aiokafka.errors import OffsetOutOfRangeError, TopicAuthorizationFailedError

from connector.core.topic_plan import CLEANUP
from connector.errors import NotInTime
from connector.shell.kafka.admin import TopicAdmin
from connector.shell.kafka.clients import has_topic
from connector.shell.kafka.closing import stop
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.fetch_answers import FetchAnswers
from connector.shell.kafka.waiting import in_turns, pauses, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

POLL_MS: Final = 500
# A burst is passed on in pieces, because each piece blocks the event loop while it is processed.
PIECE_RECORDS: Final = 500
PIECE_BYTES: Final = 64 * 1024
# A broker answers a fetch in half a second. After a longer silence we read the topic again, because
# it may have been deleted and filled again meanwhile.
SILENCE_SECONDS: Final = 5
# Longer keys and values are cut, to save memory. Values above 1 MiB are refused, cut or not.
FIELD_BYTES: Final = 2 * 2**20
HEADERS: Final = 20  # of one record that we read; our own records have one
# If a complete reading grows above this size, we drop the records that compaction would drop. If
# more than half the size is left, we do not read the topic, because it would take all memory.
READING_BYTES: Final = 128 * 2**20
RECORD_BYTES: Final = 500  # memory of a record beside its key and value
CHECK_EVERY_SECONDS: Final = 60  # the topic's settings may change while we follow it
CHECK_SECONDS: Final = 5
CLOSE_SECONDS: Final = 5
OPEN_SECONDS: Final = 5  # a transaction that is open for longer is told

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


class _RestartedError(Exception):
    """The records at our position are gone: the log start moved, or the topic was deleted."""


class _SilentError(Exception):
    """Kafka answered no fetch for a while.

    A new client is needed, because aiokafka never goes back to the bootstrap servers.
    """


class CompactedTopic:
    """Reads one compacted topic, and passes its records on.

    `problem` says why the topic cannot be read at present. `unusable` says what is wrong with the
    topic itself: it is missing, or it has the wrong shape. An unreachable Kafka does not set
    `unusable`. `held_up` says that an open transaction holds up the records that follow. `lag`
    counts the offsets that are not read yet, up to the high watermark. `followed_seconds` is for
    how long new records were read as they came, in all: without the time in which Kafka is out of
    reach, a transaction holds records up or this process is frozen. `client_arguments` is called
    for each new client, and returns the arguments of an aiokafka client. `on_snapshot` gets a
    complete reading, at each connection. `on_records` gets the records after that reading. Both may
    process the records in steps. `on_restart` is called after the reading of a topic that was
    deleted or lost records, and gets the topic's name and why. None of them may raise or wait.
    """

    def __init__(
        self,
        topic: str,
        client_arguments: Callable[[], Mapping[str, Any]],
        on_snapshot: Callable[[Sequence[TopicRecord]], Generator[None, None, Any] | None],
        on_records: Callable[[Sequence[TopicRecord]], Generator[None, None, Any] | None],
        on_restart: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self._topic = TopicPartition(topic, 0)
        self._client_arguments = client_arguments
        self._on_snapshot = on_snapshot
        self._on_records = on_records
        self._on_restart = on_restart
        self._position = 0
        self._last: TopicRecord | None = None
        self._restarted: str | None = None
        self._pauses = pauses()
        self.problem: str | None = None
        self.unusable: str | None = None
        self.held_up: str | None = None
        self.lag: int | None = None
        self.followed_seconds = 0.0
        self.restored = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; after each failure, pause and read again with a new client."""
        while True:
            try:
                await self._connect_and_read()
            except _RestartedError as error:
                self._restarted = str(error)
            except Exception as error:  # noqa: BLE001 - no error of Kafka's client may end the connector; it is logged
                self._note_failure(error)
            raise_if_cancelled()
            self.held_up = None
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
            if not await has_topic(consumer, self._topic.topic):
                raise _NotReadyError(
                    f"topic {self._topic.topic} does not exist or may not be described:"
                    " run kis-bond topics init, or grant Describe and Read"
                )
            await self._check_shape()
            consumer.assign([self._topic])
            await consumer._client.force_metadata_update()  # noqa: SLF001 - no public way; the version is pinned
            answers = FetchAnswers(consumer, self._topic)
            await self._read_to_end(consumer, answers)
            await self._follow(consumer, answers)
        finally:
            await stop(consumer, CLOSE_SECONDS)

    async def _check_shape(self) -> None:
        """Raise _NotReadyError if the topic has several partitions or is not only compacted.

        What Kafka does not tell is not judged: we may lack the right, or a broker may not answer.
        """
        name = self._topic.topic
        try:
            async with asyncio.timeout(CHECK_SECONDS), TopicAdmin.connect(self._client_arguments()) as admin:
                found = (await admin.find([name])).get(name)
        except (NotInTime, TimeoutError):
            return
        if found is None:
            return
        if found.partitions > 1:
            raise _NotReadyError(
                f"topic {name} has {found.partitions} partitions instead of 1:"
                " delete it, run kis-bond topics init and write the lists again"
            )
        if (policy := found.configs.get(CLEANUP, "compact")) != "compact":
            raise _NotReadyError(
                f"topic {name} has {CLEANUP}={policy}: set it to compact alone, else old records disappear"
            )

    async def _read_to_end(self, consumer: AIOKafkaConsumer, answers: FetchAnswers) -> None:
        begin = (await consumer.beginning_offsets([self._topic]))[self._topic]
        # With read_committed this is the last stable offset: the first reading ends before an open
        # transaction instead of waiting for it.
        end = (await consumer.end_offsets([self._topic]))[self._topic]
        if end < self._position:
            self._restarted = f"it ends at offset {end}, but had been read up to offset {self._position}"
        consumer.seek(self._topic, begin)
        snapshot = _Snapshot(self._topic.topic)
        while await consumer.position(self._topic) < end and not answers.nothing_follows(end):
            snapshot.add(await self._poll(consumer, answers))
        for record in snapshot.records:
            if self._last is not None and record.offset == self._last.offset and record != self._last:
                self._restarted = f"it has another record at offset {record.offset} than before"
        self._last = snapshot.records[-1] if snapshot.records else None
        await _process(self._on_snapshot(snapshot.records))
        self.restored.set()
        log.info("topic_read_to_end", topic=self._topic.topic, end=end)
        if self._restarted is not None:
            log.warning("topic_restarted", topic=self._topic.topic, reason=self._restarted)
            self._on_restart(self._topic.topic, self._restarted)
            self._restarted = None

    async def _follow(self, consumer: AIOKafkaConsumer, answers: FetchAnswers) -> None:
        looked_at = time.monotonic()
        check_at = looked_at + CHECK_EVERY_SECONDS
        while True:
            if self.held_up is None:
                self.followed_seconds += min(time.monotonic() - looked_at, 2 * POLL_MS / 1000)
            looked_at = time.monotonic()
            self._note_position(await consumer.position(self._topic), answers)
            for piece in _pieces(await self._poll(consumer, answers)):
                begun = time.monotonic()
                self._last = piece[-1]
                await _process(self._on_records(piece))
                # aiokafka returns fetched records without a pause. So give other tasks as much
                # time as this piece took.
                await asyncio.sleep(time.monotonic() - begun)
            if time.monotonic() >= check_at:
                await self._check_shape()
                check_at = time.monotonic() + CHECK_EVERY_SECONDS

    def _note_position(self, position: int, answers: FetchAnswers) -> None:
        self._position = position
        self._pauses = pauses()
        self.problem = self.unusable = None
        self.lag = answers.lag
        held_up = None
        if answers.held_up_seconds > OPEN_SECONDS:
            held_up = (
                f"{self._topic.topic}: the records from offset {position} on wait for an open transaction:"
                " its writer must commit or abort it"
            )
        if held_up != self.held_up:
            log.warning("topic_held_up", topic=self._topic.topic, reason=held_up)
        self.held_up = held_up

    async def _poll(self, consumer: AIOKafkaConsumer, answers: FetchAnswers) -> list[TopicRecord]:
        answers.wait()
        try:
            batches = await consumer.getmany(self._topic, timeout_ms=POLL_MS, max_records=PIECE_RECORDS)
        except OffsetOutOfRangeError as error:
            position = await consumer.position(self._topic)
            raise _RestartedError(f"offset {position}, which comes next, is not there") from error
        answers.note(await consumer.position(self._topic), empty=not batches)
        if answers.is_deleted:
            raise _RestartedError("it was deleted")
        if answers.silent_seconds > SILENCE_SECONDS:
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
