"""Reads the journal in order and keeps one lane for each partition until Kafka has acknowledged everything."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from connector.core import dead_letter
from connector.core.avro import BadTick, TickEncoder, TickSchema
from connector.core.dead_letter import DeadLetter
from connector.core.frame import ENCRYPTED_PREFIX, BadFrame, CipherKey, Received, split
from connector.core.histogram import Latencies
from connector.core.partition import partition
from connector.errors import ConnectorError
from connector.shell.delivery.lane import Batch, Departure, Lane, frame_of, position

log = structlog.get_logger("connector.delivery")

FRAMES_A_TURN = 256  # decoding this many holds the loop for a few milliseconds
GATHER_SECONDS = 0.002  # frames that come one by one are taken a few at a time
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
LATENCY_BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class FrameSource(Protocol):
    """What delivery needs of the journal."""

    watermark: int

    async def read(self, after: int, limit: int) -> "FrameBlock":
        """Return the next committed frames behind number `after`."""
        ...

    def keys(self, slot: int, session: int) -> Sequence[CipherKey]:
        """Return a session's cipher keys, newest first."""
        ...

    def advance(self, watermark: int) -> None:
        """Note that every frame up to this number is finished."""
        ...


class FrameBlock(Protocol):
    """Consecutive frames."""

    @property
    def first_seq(self) -> int:
        """The first frame's number."""
        ...

    @property
    def last_seq(self) -> int:
        """The last frame's number."""
        ...

    @property
    def frames(self) -> Sequence[Received]:
        """The frames."""
        ...


@dataclass(frozen=True, slots=True)
class Kafka:
    """How delivery reaches Kafka: topics, and what makes, starts and ends a producer."""

    ticks: str
    dead_letters: str
    make_producer: Callable[[], AIOKafkaProducer]
    start: Callable[[AIOKafkaProducer], Awaitable[None]]
    abandon: Callable[[AIOKafkaProducer], Awaitable[None]]


@dataclass(slots=True)
class Counts:
    """What became of records in this run: decoded = acknowledged + dead letters (FIELD_*, KAFKA_REFUSED) + in flight."""

    decoded: int = 0
    acknowledged: int = 0
    unrequested: int = 0
    rebuilds: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    latencies: Latencies = field(default_factory=lambda: Latencies(LATENCY_BOUNDS))

    @property
    def in_flight(self) -> int:
        """Records taken out of frames and not acknowledged yet."""
        settled = sum(count for reason, count in self.dead_letters.items() if reason.startswith(("FIELD_", "KAFKA_")))
        return self.decoded - self.acknowledged - settled


class Delivery:
    """The one task between the journal and Kafka; it waits out whatever is away, and begins again at the watermark."""

    def __init__(self, source: FrameSource, schema: TickSchema, kafka: Kafka, framing: Callable[[], Awaitable[bytes]]) -> None:
        self.counts = Counts()
        self.requested: frozenset[str] | None = None  # not known before the lists are
        self.waiting_for: str | None = "the first connection to Kafka"
        self.missing_topic: str | None = None
        self._source = source
        self._schema = schema
        self._kafka = kafka
        self._framing = framing
        self._departure = Departure()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._routes: dict[str, tuple[bytes, Lane]] = {}
        self._read_through = source.watermark
        self._decoded_through = source.watermark
        self._encoder = TickEncoder(schema, schema.single_object_prefix)
        self._schema_header = ("schema", schema.fingerprint.hex().encode())
        self._finished = asyncio.Event()
        self._failures = 0

    async def run(self) -> None:
        """Deliver until cancelled. Every failure ends the producer; another one begins again at the first unacknowledged frame."""
        while True:
            try:
                await self._deliver()
            except* (KafkaError, OSError, TimeoutError, ConnectorError) as group:
                self._note_failure(_first(group))
            except* Exception as group:  # a bug here must delay ticks, not end the reader beside us
                error = _first(group)
                log.error("delivery_bug", exc_info=error)  # noqa: TRY400 - the group's first member is the cause
                self._note_failure(error)
            await asyncio.sleep(RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS)) - 1])

    async def drained(self, through: int) -> None:
        """Wait until every frame up to number `through` is finished."""
        while self._source.watermark < through:
            self._finished.clear()
            await self._finished.wait()

    def _note_failure(self, error: BaseException) -> None:
        if self._failures == 0 and self.waiting_for is None:
            self.counts.rebuilds += 1
        self._failures += 1
        reason = f"{type(error).__name__}: {error}".strip(": ")
        if reason != self.waiting_for:
            log.warning("delivery_interrupted", error=reason, pending_from=self._source.watermark + 1)
        self.waiting_for = reason
        self.missing_topic = str(error) if isinstance(error, TopicMissing) else None

    async def _deliver(self) -> None:
        prefix = await self._framing()
        self._encoder = TickEncoder(self._schema, prefix)
        producer = self._kafka.make_producer()
        await self._kafka.start(producer)
        try:
            lanes = await self._open_lanes(producer)
            self.waiting_for = self.missing_topic = None
            async with asyncio.TaskGroup() as group:
                for lane in lanes:
                    group.create_task(lane.run(producer, self._acknowledged), name=f"lane-{lane.topic}-{lane.partition}")
                group.create_task(self._pump(), name="delivery-pump")
        finally:
            await self._kafka.abandon(producer)

    async def _open_lanes(self, producer: AIOKafkaProducer) -> list[Lane]:
        """Set up a lane for each partition; what was read but not acknowledged is read again."""
        for topic in (self._kafka.ticks, self._kafka.dead_letters):
            try:
                partitions = await producer.partitions_for(topic)
            except UnknownTopicOrPartitionError as error:
                raise TopicMissing(f"Topic {topic} is missing. Create it with `kis-bond topics init`.") from error
            for number in partitions:
                self._lanes.setdefault((topic, number), Lane(topic, number, self._departure))
        self._routes.clear()
        self._read_through = self._source.watermark
        for lane in self._lanes.values():
            lane.restart(producer)
        return list(self._lanes.values())

    async def _pump(self) -> None:
        while True:
            block = await self._source.read(self._read_through, FRAMES_A_TURN)
            for seq, frame in enumerate(block.frames, block.first_seq):
                self._place(seq, frame)
            self._read_through = block.last_seq
            self._settle()
            for lane in self._lanes.values():
                await lane.room()
            await asyncio.sleep(0 if len(block.frames) == FRAMES_A_TURN else GATHER_SECONDS)

    def _place(self, seq: int, frame: Received) -> None:
        """Put the records of one frame into their lanes."""
        encrypted = frame.raw.startswith(ENCRYPTED_PREFIX)
        records = split(frame, self._schema.width, self._source.keys(frame.slot, frame.session) if encrypted else ())
        if isinstance(records, BadFrame):
            self._bury(position(seq, 0), frame.received_ns, dead_letter.of_frame(frame, records))
            return
        received_ns = frame.received_ns
        origin = self._encoder.origin(received_ns // 1_000_000)
        headers = [("received-ns", b"%d" % received_ns), ("slot", b"%d" % frame.slot), self._schema_header]
        encode, routes, requested = self._encoder.encode, self._routes, self.requested
        at = position(seq, 0)
        unrequested = 0
        for record in records:
            tick = encode(record, origin)
            if isinstance(tick, BadTick):
                self._bury(at, received_ns, dead_letter.of_record(frame, record, tick))
            else:
                isin, timestamp_ms, value = tick
                key, lane = routes.get(isin) or self._route(isin)
                lane.append(at, received_ns, timestamp_ms, key, value, headers)
                if requested is not None and isin not in requested:
                    unrequested += 1
            at += 1
        if seq > self._decoded_through:
            self._decoded_through = seq
            self.counts.decoded += len(records)
            self.counts.unrequested += unrequested

    def _route(self, isin: str) -> tuple[bytes, Lane]:
        key = isin.encode()
        route = self._routes[isin] = key, self._lane(self._kafka.ticks, key)
        return route

    def _lane(self, topic: str, key: bytes | None) -> Lane:
        count = sum(1 for name, _ in self._lanes if name == topic)
        return self._lanes[topic, partition(key, count) if key else 0]

    def _bury(self, at: int, received_ns: int, letter: DeadLetter) -> None:
        lane = self._lane(self._kafka.dead_letters, letter.key)
        batch = lane.append(at, received_ns, letter.timestamp_ms, letter.key, letter.value, letter.headers)
        if batch is not None:
            batch.reasons.append(letter.reason)

    def _acknowledged(self, batch: Batch) -> None:
        self._failures = 0
        if batch.reasons:
            self.counts.dead_letters.update(batch.reasons)
        else:
            self.counts.acknowledged += len(batch.received_ns)
            self.counts.latencies.observe(batch.received_ns, time.time_ns())
        self._settle()

    def _settle(self) -> None:
        """Move the watermark to the frame before the first that has an unacknowledged record."""
        oldest = [at for lane in self._lanes.values() if (at := lane.first_unacknowledged()) is not None]
        self._source.advance(frame_of(min(oldest)) - 1 if oldest else self._read_through)
        self._finished.set()


class TopicMissing(ConnectorError):
    """A topic the connector writes does not exist; the running connector creates none."""


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
