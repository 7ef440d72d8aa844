"""Writes the records of one partition in order, with one batch in flight."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connector.core.ticks.dead_letter import DeadLetter, DeadLetterReason
from connector.shell.delivery.linger import Linger
from connector.shell.delivery.refusals import REFUSALS, TOO_LARGE
from connector.shell.kafka.diagnosis import describe

ACK_SECONDS = 12.0  # after this the producer is replaced, because aiokafka would retry for ever
SEALED_BATCHES = 6  # the lane is full if this many sealed batches wait
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class Batch:
    """One batch of records for one partition.

    `builder` is aiokafka's. `append` adds a record to it, within the lane's limit. `first` and
    `last` are the positions of the first and the last record. `received_ns` holds each record's
    receive time. `reasons` holds one reason for each dead letter, and is empty for ticks.
    """

    topic: str
    partition: int
    builder: Any
    append: Callable[..., Any]
    first: int
    last: int = 0
    received_ns: list[int] = field(default_factory=list)
    reasons: list[DeadLetterReason] = field(default_factory=list)


class Lane:
    """Records of one partition, in journal order.

    `position()` computes a record's position from its frame's number and its place in the frame.
    `acknowledged` is the position of the last record that Kafka acknowledged. A lane outlives its
    producers. It falls behind if it loses its producer, or if it is full and sends nothing. Its
    records from `behind_from` on are then read from the journal again.
    """

    def __init__(self, topic: str, partition: int, linger: Linger) -> None:
        self.topic = topic
        self.partition = partition
        self.acknowledged = 0
        self.acknowledged_records = 0
        self.behind_from: int | None = None
        # For each record that Kafka refused alone in its batch: its position -> the error names.
        # A refused tick becomes a dead letter. A refused dead letter is shortened.
        self.refusals: dict[int, list[str]] = {}
        self.is_open = False
        self.is_assigned = False
        self.leader: str | None = None
        self.waiting_for: str | None = None
        self.failures = 0
        self.is_suspect = False  # if true, its next producer serves no other lane
        self.retry_at = 0.0
        self._linger = linger
        self._hunt: _Hunt | None = None
        self._most_bytes: int | None = None
        self._appended = 0
        self._create: Callable[[], Any] = _no_producer
        self._open: Batch | None = None
        self._sealed: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._is_leaving = False

    # -- the producer -----------------------------------------------------------------

    def open(self, producer: AIOKafkaProducer) -> None:
        """Accept records, and build batches with this producer."""
        self._create = producer.create_batch
        self.is_open, self._is_leaving = True, False
        if self.behind_from is None:
            self.waiting_for = None

    def leave(self) -> bool:
        """Start no further batch, and return whether a batch is in flight.

        If one is, `run` ends when Kafka has acknowledged it.
        """
        self._is_leaving = True
        return self._in_flight is not None

    def close(self) -> None:
        """Drop all unacknowledged records, so that they are read from the journal again."""
        self.behind_from = self.first_unacknowledged()
        self._appended = self.acknowledged
        self._create, self.is_open = _no_producer, False
        self._open, self._in_flight = None, None
        self._sealed.clear()
        self._filled.clear()
        self._room.set()

    def note_failure(self, error: BaseException, now: float, *, is_suspect: bool) -> None:
        """Record why the lane lost its producer, and when it may get the next one.

        `now` is the loop's time. `is_suspect` is true if another lane of the producer did not fail.
        """
        self.waiting_for = (
            f"no acknowledgement within {ACK_SECONDS:g} s"
            if isinstance(error, TimeoutError) and not str(error)
            else describe(error)
        )
        self.retry_at = now + RETRY_SECONDS[min(self.failures, len(RETRY_SECONDS) - 1)]
        self.failures += 1
        self.is_suspect = is_suspect

    # -- records go in -----------------------------------------------------------------------------

    def append(  # noqa: PLR0913, PLR0917 - separate arguments: no tuple is built per tick
        self,
        position: int,
        received_ns: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
    ) -> Batch | None:
        """Add a record to a batch and return the batch, or None if the record was added before."""
        if position <= self._appended:
            return None
        batch = self._open
        if batch is None or batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
            batch = self._next_batch(position, self.topic, self.partition)
            batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)  # a first record always fits
        batch.last = self._appended = position
        batch.received_ns.append(received_ns)
        return batch

    def divert(self, position: int, received_ns: int, letter: DeadLetter, topic: str, partition: int) -> None:
        """Queue a dead letter in the place of a refused record.

        The letter is a batch of its own, and keeps the record's place in the order of this lane.
        """
        if position <= self._appended:
            return
        batch = self._next_batch(position, topic, partition)
        batch.append(timestamp=letter.timestamp_ms, key=letter.key, value=letter.value, headers=letter.headers)
        batch.last = self._appended = position
        batch.received_ns.append(received_ns)
        batch.reasons.append(letter.reason)
        self._seal()

    def fall_behind(self, position: int) -> None:
        """Mark the lane as behind from this position on, unless it is behind already."""
        if self.behind_from is None:
            self.behind_from = position

    @property
    def is_full(self) -> bool:
        """Whether the number of waiting sealed batches has reached SEALED_BATCHES."""
        return len(self._sealed) >= SEALED_BATCHES

    async def room(self, seconds: float) -> bool:
        """Wait up to `seconds` until the lane is not full; return whether it has room."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.is_full:
                    self._room.clear()
                    await self._room.wait()
        return not self.is_full

    def first_unacknowledged(self) -> int | None:
        """Return the position of the oldest unacknowledged record, or None."""
        for batch in (self._in_flight, self._sealed[0] if self._sealed else None, self._open):
            if batch is not None:
                return batch.first
        return self.behind_from

    # -- batches go out ----------------------------------------------------------------------------

    async def run(self, producer: AIOKafkaProducer, on_acknowledged: Callable[[Batch], None]) -> None:
        """Send one batch after another until `leave` is called.

        Raises Kafka's error if a batch fails, and TimeoutError if Kafka does not answer in time.
        """
        while not self._is_leaving:
            await self._filled.wait()
            if not self._sealed:
                await self._linger.wait()
            batch = self._in_flight = self._next_to_send()
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    await (await producer.send_batch(batch.builder, batch.topic, partition=batch.partition))
            except REFUSALS as error:
                self._narrow(batch, error)
                raise
            self._note_acknowledged(batch)
            on_acknowledged(batch)

    def _note_acknowledged(self, batch: Batch) -> None:
        self._in_flight = None
        self.acknowledged = batch.last
        self.acknowledged_records += len(batch.received_ns)
        self.failures, self.waiting_for, self.is_suspect = 0, None, False
        if self.refusals:
            self.refusals.pop(batch.last, None)
        if self._hunt and batch.last >= self._hunt.through:
            # No single record was refused. If the batch as a whole was too large, keep the lower
            # limit, because the next batch would be too large as well. Otherwise the cause has
            # passed: restore the earlier limit.
            self._most_bytes = self._most_bytes if self._hunt.too_large else self._hunt.most_bytes_before
            self._hunt = None

    def _narrow(self, batch: Batch, error: KafkaError) -> None:
        """Halve the batch limit, or note the refusal of a record that was alone in its batch.

        All unacknowledged records are then read again.
        """
        if self._hunt is None:
            self._hunt = _Hunt(batch.last, self._most_bytes, too_large=isinstance(error, TOO_LARGE))
        if len(batch.received_ns) > 1:
            self._most_bytes = batch.builder.size() // 2
        else:
            self.refusals.setdefault(batch.first, []).append(type(error).__name__)
            self._most_bytes, self._hunt = self._hunt.most_bytes_before, None

    def _next_to_send(self) -> Batch:
        if self._sealed:
            batch = self._sealed.popleft()
            self._room.set()
        elif self._open is not None:
            batch, self._open = self._open, None
        else:
            raise AssertionError("the lane was woken without a batch")
        if not self._sealed and self._open is None:
            self._filled.clear()
        batch.builder.close()
        return batch

    def _next_batch(self, first: int, topic: str, partition: int) -> Batch:
        self._seal()
        builder = self._create()
        append = builder.append if self._most_bytes is None else _append_to(builder, self._most_bytes)
        self._open = Batch(topic, partition, builder, append, first)
        self._filled.set()
        return self._open

    def _seal(self) -> None:
        if self._open is not None:
            self._sealed.append(self._open)
            self._open = None


@dataclass(frozen=True, slots=True)
class _Hunt:
    """The search for the record that made Kafka refuse a batch.

    `through` is the last position of that batch. `most_bytes_before` is the limit before the
    search. `too_large` is true if Kafka called the batch too large.
    """

    through: int
    most_bytes_before: int | None
    too_large: bool


def _append_to(builder: Any, most_bytes: int) -> Callable[..., Any]:
    """Return the builder's `append` with a lower limit, which the first record may exceed."""

    def append(**record: Any) -> Any:
        if builder.record_count() and builder.size() + len(record["value"]) > most_bytes:
            return None
        return builder.append(**record)

    return append


def position(seq: int, index: int) -> int:
    """Return the position of the record at place `index`, from 0, in frame number `seq`.

    A frame has fewer than 1,024 records.
    """
    return seq << 10 | index


def frame_of(at: int) -> int:
    """Return the frame number of a position."""
    return at >> 10


def _no_producer() -> Any:
    raise AssertionError("a lane accepts records only while it is open")
