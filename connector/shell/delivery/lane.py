"""One partition's way: the only writer of it, one batch in flight, in order."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer

LINGER_SECONDS = 0.005  # a batch that is not full waits for company, at most so long
ACK_SECONDS = 12.0  # a batch not acknowledged by then ends the producer: aiokafka itself would try for ever
SEALED_BATCHES = 6  # full batches that may wait; then the journal is not read on


@dataclass(slots=True)
class Batch:
    """Records of one partition on their way: aiokafka's builder, the last position, each record's receive time in ns and fate."""

    builder: Any
    first: int
    last: int = 0
    received_ns: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Departure:
    """Lets lanes whose batch is not full leave together, so that one request takes all their batches to a broker."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait for company: until LINGER_SECONDS after the first lane began to."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_later(LINGER_SECONDS, self._leave, self._next)
        await asyncio.shield(self._next)

    def _leave(self, leaving: asyncio.Future[None]) -> None:
        self._next = None
        leaving.set_result(None)


class Lane:
    """Records of one partition, in journal order.

    A record's position is its frame's number and its place in the frame (`position()`); `acknowledged` is the highest one Kafka
    has, kept over producers, so that a record read from the journal again is sent again only if it was in doubt.
    """

    def __init__(self, topic: str, partition: int, departure: "Departure") -> None:
        self._departure = departure
        self.topic = topic
        self.partition = partition
        self.acknowledged = 0
        self._create: Callable[[], Any] = _no_producer
        self._open: Batch | None = None
        self._sealed: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def restart(self, producer: AIOKafkaProducer) -> None:
        """Forget what was not acknowledged and build batches for a new producer."""
        self._create = producer.create_batch
        self._open, self._in_flight = None, None
        self._sealed.clear()
        self._filled.clear()
        self._room.set()

    def append(  # noqa: PLR0913, PLR0917 - one record, without a tuple made for it: this is the tick path
        self, position: int, received_ns: int, timestamp_ms: int, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> Batch | None:
        """Add a record to the open batch, which is returned; None for one that Kafka has already."""
        if position <= self.acknowledged:
            return None
        batch = self._open
        if batch is None or batch.builder.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
            batch = self._next_batch(position)
            batch.builder.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)  # a first record always fits
        batch.last = position
        batch.received_ns.append(received_ns)
        return batch

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the journal should not be read on."""
        return len(self._sealed) >= SEALED_BATCHES

    async def room(self) -> None:
        """Wait until less waits."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def first_unacknowledged(self) -> int | None:
        """Return the position of the oldest record Kafka has not acknowledged, None where there is none."""
        for batch in (self._in_flight, self._sealed[0] if self._sealed else None, self._open):
            if batch is not None:
                return batch.first
        return None

    async def run(self, producer: AIOKafkaProducer, on_acknowledged: Callable[[Batch], None]) -> None:
        """Send one batch after the other. Raises what Kafka refused it with, TimeoutError where no answer came."""
        while True:
            await self._filled.wait()
            if not self._sealed:
                await self._departure.wait()
            batch = self._in_flight = self._take()
            async with asyncio.timeout(ACK_SECONDS):
                await (await producer.send_batch(batch.builder, self.topic, partition=self.partition))
            self._in_flight = None
            self.acknowledged = batch.last
            on_acknowledged(batch)

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

    def _next_batch(self, first: int) -> Batch:
        if self._open is not None:
            self._sealed.append(self._open)
        self._open = Batch(self._create(), first)
        self._filled.set()
        return self._open


def position(seq: int, index: int) -> int:
    """Return the position of a frame's `index`-th record; a frame holds fewer than 1,024."""
    return seq << 10 | index


def frame_of(at: int) -> int:
    """Return the number of the frame a position lies in."""
    return at >> 10


def _no_producer() -> Any:
    raise AssertionError("a lane takes records only after restart()")
