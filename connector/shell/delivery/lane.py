"""Writes the records of one partition in order, with one batch in flight."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from connector.shell.delivery.batch import Batch, Record, append_up_to
from connector.shell.delivery.letters import Letters
from connector.shell.delivery.refusals import REFUSALS, is_certain
from connector.shell.delivery.resending import Resending
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.waiting import within

log = structlog.get_logger("connector.delivery")

ACK_SECONDS = 12.0  # after this the producer is replaced, because aiokafka would retry for ever
SEALED_BATCHES = 6  # the lane is full if this many sealed batches wait
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class Lane:
    """Records of one partition, in journal order.

    `acknowledged` is the position up to which nothing is left to send in this order; up to
    `delivered`, an earlier process has sent everything. A lane outlives its producers. It falls
    behind if a record comes while it has no producer, or if it is full and sends nothing. Its
    records from `behind_from` on are then read from the journal again.

    If Kafka refuses records, they leave this order, and the others go on. `bury(lane, records,
    refused_as)` makes dead letters of refused ticks. A lane of dead letters has `letters` instead,
    which hold its own refused records and those of refused ticks.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        delivered: int = 0,
        bury: Callable[["Lane", Sequence[Record], str], Awaitable[None]] | None = None,
        letters: Letters | None = None,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.delivered = self.acknowledged = delivered
        self.acknowledged_records = 0
        self.behind_from: int | None = None
        self.letters = letters
        self.is_open = False
        self.leader: str | None = None  # None while no producer is assigned
        self.waiting_for: str | None = None
        self.failures = 0
        self.is_suspect = False  # if true, its next producer serves no other lane
        self.retry_at = 0.0
        self._bury = bury
        self._resending = Resending()
        # The records that left the order, by position; true if nothing more is to be done for one.
        self._apart: dict[int, bool] = {}
        self._appended = delivered
        self._create: Callable[[], Any] = _no_producer
        self._open: Batch | None = None
        self._sealed: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_leaving = False

    # -- the producer -----------------------------------------------------------------

    def assign(self, leader: str) -> None:
        """Record that a producer for the partition's leader, `host:port`, is being made."""
        self.leader = leader

    def unassign(self) -> None:
        """Record that the lane needs a new producer."""
        self.leader = None

    @property
    def is_assigned(self) -> bool:
        """Whether the lane has a producer, or one is being made."""
        return self.leader is not None

    def wait_for(self, reason: str) -> None:
        """Record what keeps the lane from having or using a producer."""
        self.waiting_for = reason

    def open(self, producer: AIOKafkaProducer) -> None:
        """Accept records, and build batches with this producer."""
        self._create = producer.create_batch
        self.is_open, self._is_leaving = True, False
        if self.letters:
            self._filled.set()
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
        self.behind_from = self._first_in_line()
        self._appended = self.acknowledged
        self._create, self.is_open = _no_producer, False
        self._open, self._in_flight = None, None
        self._resending.clear()
        self._sealed.clear()
        self._filled.clear()
        self._room.set()

    def note_failure(self, error: BaseException, now: float, *, is_suspect: bool) -> None:
        """Record why the lane lost its producer, and when it may get the next one.

        `now` is the loop's time. `is_suspect` is true if another lane of the producer did not fail,
        now or since the last acknowledgement.
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
        """Add a record to a batch and return the batch, or None if it does not need the record now.

        Without a producer the lane falls behind.
        """
        if position <= self._appended or (self._apart and position in self._apart):
            return None
        if not self.is_open:
            self.fall_behind(position)
            return None
        batch = self._open
        if batch is None or batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
            batch = self._next_batch(position)
            batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)  # a first record always fits
        batch.last = self._appended = position
        batch.positions.append(position)
        batch.received_ns.append(received_ns)
        return batch

    def fall_behind(self, position: int) -> None:
        """Mark the lane as behind from this position on, unless it is behind already."""
        if self.behind_from is None:
            self.behind_from = position

    def catch_up(self, until: int | None) -> None:
        """Record that the lane has all records before this position, or all that were read."""
        self.behind_from = None if until is None else max(self.behind_from or 0, until)

    @property
    def can_catch_up(self) -> bool:
        """Whether the lane is behind, and can take records."""
        return self.behind_from is not None and self.is_open and not self.is_full

    @property
    def is_full(self) -> bool:
        """Whether the number of waiting sealed batches has reached SEALED_BATCHES."""
        return len(self._sealed) >= SEALED_BATCHES

    async def room(self, seconds: float) -> bool:
        """Wait up to `seconds` until the lane is not full; return whether it has room."""
        return await within(self._room, seconds)

    def first_unacknowledged(self) -> int | None:
        """Return the position of the oldest record for which something is left to do, or None."""
        first = self._first_in_line()
        if not self._apart:
            return first
        apart = [position for position, is_settled in self._apart.items() if not is_settled]
        return min(apart if first is None else [first, *apart], default=None)

    def _first_in_line(self) -> int | None:
        """Return the position of the oldest record to be acknowledged in order, or None."""
        if self._in_flight is not None and not self._in_flight.letters:
            return self._in_flight.first
        if self._resending:
            return self._resending.first
        for batch in (self._sealed[0] if self._sealed else None, self._open):
            if batch is not None:
                return batch.first
        return self.behind_from

    # -- batches go out ----------------------------------------------------------------------------

    async def run(self, producer: AIOKafkaProducer, on_acknowledged: Callable[[Batch], None]) -> None:
        """Send one batch after another until `leave` is called.

        Raises Kafka's error if a batch fails. If Kafka does not answer, the lane becomes overdue.
        """
        while not self._is_leaving:
            await self._filled.wait()
            self._filled.clear()
            if self._in_flight is not None:
                if self._in_flight.error is not None:
                    await self._handle_failure(self._in_flight, self._in_flight.error)
            elif not self._is_leaving and (batch := self._next_to_send()) is not None:
                self._in_flight, batch.sent_at = batch, asyncio.get_running_loop().time()
                answer = await producer.send_batch(batch.builder, batch.topic, partition=batch.partition)
                answer.add_done_callback(partial(self._answered, batch, on_acknowledged))

    @property
    def is_overdue(self) -> bool:
        """Whether Kafka has not answered a batch within ACK_SECONDS."""
        now, batch = asyncio.get_running_loop().time(), self._in_flight
        return batch is not None and batch.error is None and now - batch.sent_at > ACK_SECONDS

    def _answered(
        self, batch: Batch, on_acknowledged: Callable[[Batch], None], answer: asyncio.Future[RecordMetadata]
    ) -> None:
        """Note Kafka's answer; wake `run` for a failure, or if more is to be sent."""
        error = answer.exception()
        if batch is not self._in_flight:  # the lane was closed meanwhile
            return
        if error is not None:
            batch.error = error
            self._filled.set()
            return
        self._note_acknowledged(batch)
        on_acknowledged(batch)
        if self._is_leaving or self.letters or self._has_more_in_line():
            self._filled.set()

    def _note_acknowledged(self, batch: Batch) -> None:
        self._in_flight = None
        self.acknowledged_records += len(batch.received_ns)
        self.failures, self.waiting_for, self.is_suspect = 0, None, False
        if batch.letters and self.letters is not None:
            self.letters.acknowledged(batch.letters)
        else:
            if self.letters is not None:
                self.letters.note_taken()
            self._resending.note_acknowledged()
            self._move_on(batch.last)

    def _move_on(self, acknowledged: int) -> None:
        """Note that nothing up to this position is left to send in order."""
        self.acknowledged = acknowledged
        if self._apart:
            self._apart = {
                at: is_settled for at, is_settled in self._apart.items() if at > acknowledged or not is_settled
            }

    # -- refusals ----------------------------------------------------------------------------------

    async def _handle_failure(self, batch: Batch, error: BaseException) -> None:
        """Take refused records out of the order, and send what is left of the batch again.

        Raises the error if it is no refusal.
        """
        if not isinstance(error, REFUSALS) or not is_certain(error):
            raise error
        self._filled.set()
        now, now_ms = asyncio.get_running_loop().time(), time.time_ns() // 1_000_000
        if batch.letters and self.letters is not None:
            await self.letters.refused(batch.letters, error, now, now_ms)
            self._in_flight = None
            return
        refused = self._resending.put_back(batch, error, now_ms, self._create)
        if refused:
            await self._set_apart(refused, type(error).__name__)
        self._in_flight = None
        if not self._resending:
            self._move_on(max(batch.last, refused[-1].position))

    async def _set_apart(self, refused: Sequence[Record], refused_as: str) -> None:
        log.warning(
            "records_refused", topic=self.topic, partition=self.partition, records=len(refused), cause=refused_as
        )
        if self.letters is not None:
            for record in refused:
                self.set_apart(record, self.letters)
        elif self._bury is not None:
            await self._bury(self, refused, refused_as)

    def set_apart(self, record: Record, letters: Letters) -> None:
        """Let this record go on as a dead letter, out of this order."""
        if record.position not in self._apart:
            self._apart[record.position] = False
            letters.add(self, record)

    def wake(self) -> None:
        """Have `run` look for letters to send."""
        if self.is_open:
            self._filled.set()

    def settle(self, position: int) -> None:
        """Note that nothing more is to be done for a record that left the order."""
        if position > self.acknowledged:
            self._apart[position] = True
        else:
            del self._apart[position]

    # -- batches -----------------------------------------------------------------------------------

    def _next_to_send(self) -> Batch | None:
        """Take the batch to send next, if there is one; wake `run` when a letter is due."""
        loop, letters = asyncio.get_running_loop(), self.letters
        batch = None
        if letters and not (letters.had_turn and self._has_more_in_line()):
            batch = letters.next_batch(loop.time(), self._create, self.topic, self.partition)
        if letters is not None:
            letters.had_turn = batch is not None
        if batch is None and self._has_more_in_line():
            batch = self._next_in_line()
        if letters and not self._has_more_in_line():
            loop.call_at(letters.next_due(), self._filled.set)
        if batch is not None:
            batch.builder.close()
        return batch

    def _has_more_in_line(self) -> bool:
        """Whether there is a batch to send in order, and nothing that holds it up."""
        is_held_up = self.letters is not None and self.letters.is_full
        return not is_held_up and bool(self._resending or self._sealed or self._open)

    def _next_in_line(self) -> Batch | None:
        if self._resending:
            return self._resending.next_batch(self._create, self.topic, self.partition)
        if not self._sealed:
            part_filled, self._open = self._open, None
            return part_filled
        batch = self._sealed.popleft()
        if not self.is_full:
            self._room.set()
        return batch

    def _next_batch(self, first: int) -> Batch:
        self._seal()
        builder, most_bytes = self._create(), self._resending.most_bytes
        append = builder.append if most_bytes is None else append_up_to(builder, most_bytes)
        self._open = Batch(self.topic, self.partition, builder, append, first)
        if self._in_flight is None:
            self._filled.set()
        return self._open

    def _seal(self) -> None:
        if self._open is not None:
            self._sealed.append(self._open)
            self._open = None
            if self.is_full:
                self._room.clear()


def _no_producer() -> Any:
    raise AssertionError("a lane accepts records only while it is open")
