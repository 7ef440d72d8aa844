"""One partition's way: the only writer of it, one batch in flight, in order."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connector.core.ticks.dead_letter import DeadLetter
from connector.shell.delivery.linger import Linger
from connector.shell.delivery.refusals import REFUSALS, TOO_LARGE
from connector.shell.kafka.diagnosis import describe

ACK_SECONDS = 12.0  # a batch not acknowledged by then ends the producer: aiokafka itself would try for ever
SEALED_BATCHES = 6  # full batches that may wait; then the journal is not read on for this lane
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class Batch:
    """Records of one partition on their way: aiokafka's builder, positions, each record's receive time in ns.

    `reasons` are those of dead letters; a tick has none.
    """

    topic: str
    partition: int
    builder: Any
    append: Callable[..., Any]
    first: int
    last: int = 0
    received_ns: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Lane:
    """Records of one partition, in journal order.

    A record's position is its frame's number and its place in the frame (`position()`). The lane outlives producers: `acknowledged`
    is the highest position Kafka has. A lane that lost its producer, or that does not get rid of what it holds, is behind: its
    records from `behind_from` on are read from the journal again.
    """

    def __init__(self, topic: str, partition: int, linger: Linger) -> None:
        self.topic = topic
        self.partition = partition
        self.acknowledged = 0
        self.acknowledged_records = 0
        self.behind_from: int | None = None
        # Positions of records that Kafka refused alone, and as what: after the first refusal a tick goes out as a dead letter.
        self.refusals: dict[int, list[str]] = {}
        self.is_open = False
        self.is_assigned = False
        self.leader: str | None = None
        self.waiting_for: str | None = None
        self.failures = 0
        self.is_suspect = False  # its batches would cost others their producer
        self.retry_at = 0.0
        self._linger = linger
        self._hunt: _Hunt | None = None
        self._most_bytes: int | None = None
        self._taken = 0
        self._create: Callable[[], Any] = _no_producer
        self._open: Batch | None = None
        self._sealed: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._is_leaving = False

    # -- over one producer or none ------------------------------------------------------------------------------------

    def open(self, producer: AIOKafkaProducer) -> None:
        """Take records from now on, for this producer."""
        self._create = producer.create_batch
        self.is_open, self._is_leaving = True, False
        if self.behind_from is None:
            self.waiting_for = None

    def leave(self) -> bool:
        """Take no further batch; return whether one is in flight, after which `run` ends."""
        self._is_leaving = True
        return self._in_flight is not None

    def close(self) -> None:
        """Forget what was not acknowledged; it is read from the journal again."""
        self.behind_from = self.first_unacknowledged()
        self._taken = self.acknowledged
        self._create, self.is_open = _no_producer, False
        self._open, self._in_flight = None, None
        self._sealed.clear()
        self._filled.clear()
        self._room.set()

    def failed(self, error: BaseException, now: float, *, is_alone: bool) -> None:
        """Note why the lane has no producer, and when to try the next (`now`: the loop's time); alone, if only some of the lanes failed."""
        self.waiting_for = (
            f"no acknowledgement within {ACK_SECONDS:g} s"
            if isinstance(error, TimeoutError) and not str(error)
            else describe(error)
        )
        self.retry_at = now + RETRY_SECONDS[min(self.failures, len(RETRY_SECONDS) - 1)]
        self.failures += 1
        self.is_suspect = is_alone

    # -- records go in ------------------------------------------------------------------------------------------------

    def append(  # noqa: PLR0913, PLR0917 - one record, without a tuple made for it: this is the tick path
        self,
        position: int,
        received_ns: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[tuple[str, bytes]],
    ) -> Batch | None:
        """Add a record to the open batch, which is returned; None for one that was taken already."""
        if position <= self._taken:
            return None
        batch = self._open
        if batch is None or batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
            batch = self._next_batch(position, self.topic, self.partition)
            batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)  # a first record always fits
        batch.last = self._taken = position
        batch.received_ns.append(received_ns)
        return batch

    def divert(self, position: int, received_ns: int, letter: DeadLetter, topic: str, partition: int) -> None:
        """Put a dead letter in a record's place: a batch of its own, to another topic, in the order of this lane."""
        if position <= self._taken:
            return
        batch = self._next_batch(position, topic, partition)
        batch.append(timestamp=letter.timestamp_ms, key=letter.key, value=letter.value, headers=letter.headers)
        batch.last = self._taken = position
        batch.received_ns.append(received_ns)
        batch.reasons.append(letter.reason)
        self._seal()

    def fall_behind(self, position: int) -> None:
        """Leave the records from this position on to be read again, unless that is so from an earlier one on."""
        if self.behind_from is None:
            self.behind_from = position

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the journal should not be read on."""
        return len(self._sealed) >= SEALED_BATCHES

    async def room(self, seconds: float) -> bool:
        """Wait until less waits, for so long; return whether it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.is_full:
                    self._room.clear()
                    await self._room.wait()
        return not self.is_full

    def first_unacknowledged(self) -> int | None:
        """Return the position of the oldest record Kafka has not acknowledged, None where there is none."""
        for batch in (self._in_flight, self._sealed[0] if self._sealed else None, self._open):
            if batch is not None:
                return batch.first
        return self.behind_from

    # -- batches go out -----------------------------------------------------------------------------------------------

    async def run(self, producer: AIOKafkaProducer, on_acknowledged: Callable[[Batch], None]) -> None:
        """Send one batch after the other until `leave`. Raises what Kafka refused one with, TimeoutError where no answer came."""
        while not self._is_leaving:
            await self._filled.wait()
            if not self._sealed:
                await self._linger.wait()
            batch = self._in_flight = self._take()
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
            # Nothing in it is guilty: the batch was too large as a whole, and the next ones would be, or it was something that passed.
            self._most_bytes = self._most_bytes if self._hunt.too_large else self._hunt.most_bytes_before
            self._hunt = None

    def _narrow(self, batch: Batch, error: KafkaError) -> None:
        """Halve a refused batch until the guilty record stands alone; the records are read again in smaller batches."""
        if self._hunt is None:
            self._hunt = _Hunt(batch.last, self._most_bytes, too_large=isinstance(error, TOO_LARGE))
        if len(batch.received_ns) > 1:
            self._most_bytes = batch.builder.size() // 2
        else:
            self.refusals.setdefault(batch.first, []).append(type(error).__name__)
            self._most_bytes, self._hunt = self._hunt.most_bytes_before, None

    def _take(self) -> Batch:
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
    """The search for a guilty record: through which position it goes, the bound on batches before it, what the refusal was."""

    through: int
    most_bytes_before: int | None
    too_large: bool


def _append_to(builder: Any, most_bytes: int) -> Callable[..., Any]:
    """Return the builder's `append` with a lower bound on the batch; a first record always fits."""

    def append(**record: Any) -> Any:
        if builder.record_count() and builder.size() + len(record["value"]) > most_bytes:
            return None
        return builder.append(**record)

    return append


def position(seq: int, index: int) -> int:
    """Return the position of a frame's `index`-th record; a frame holds fewer than 1,024."""
    return seq << 10 | index


def frame_of(at: int) -> int:
    """Return the number of the frame a position lies in."""
    return at >> 10


def _no_producer() -> Any:
    raise AssertionError("a lane takes records only while it is open")
