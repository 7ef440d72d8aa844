"""Delivers the journal's frames to Kafka, and moves the watermark."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog

from connector.shell.delivery.assignment import UNREACHABLE, Assignment, Kafka
from connector.shell.delivery.counts import Counts
from connector.shell.delivery.lane import Lane
from connector.shell.delivery.letters import Letter, Letters
from connector.shell.delivery.position import frame_of, position
from connector.shell.delivery.reading import Reading
from connector.shell.delivery.refused_ticks import letters_of
from connector.shell.delivery.sorter import Sorter, lane_of
from connector.shell.delivery.waiting import Waiting
from connector.shell.kafka.waiting import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from connector.core.ticks.avro import Source, TickSchema
    from connector.core.ticks.frame import Received
    from connector.shell.delivery.batch import Batch, Record
    from connector.shell.delivery.source import FrameSource

log = structlog.get_logger("connector.delivery")

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
ADOPT_SECONDS = 5.0  # how long reading may pause for other partitions


class Delivery:
    """Delivers the journal's frames to Kafka.

    After a failure, delivery goes on from the first unacknowledged record. `assignment` gives the
    lanes their producers, `reading` fills the lanes, and the lanes send. `has_lanes` is set once
    the ticks' topic was found.
    """

    def __init__(
        self,
        source: FrameSource,
        schema: TickSchema,
        kafka: Kafka,
        framing: Callable[[], Awaitable[bytes]],
        tick_source: Source = "ws",
    ) -> None:
        self.counts = Counts()
        self.has_lanes = asyncio.Event()
        self._source = source
        self._kafka = kafka
        self._framing = framing
        self._ticks: list[Lane] = []
        self._dead_letters: list[Lane] = []
        self._latest: list[Lane] = []
        self._waiting = Waiting(source)
        self._sorter = Sorter(schema, source.keys, self.counts, tick_source)
        self._sorter.counted_through = source.watermark
        self._assignment = Assignment(
            kafka, self._waiting, self.counts, self._acknowledged, self._sorter.latest_values.raise_marks
        )
        self._reading = Reading(source, self._sorter, self._move_watermark)
        self._given_up: dict[int, Received] = {}  # frames whose dead letter Kafka refused for good
        self._is_moving = False
        self._finished = asyncio.Event()
        self._replaced = asyncio.Event()

    @property
    def lanes(self) -> list[Lane]:
        """The lanes of all topics; none until the ticks' topic was found."""
        return [*self._ticks, *self._dead_letters, *self._latest]

    @property
    def tick_partitions(self) -> int:
        """How many partitions of the ticks' topic are written; 0 until it was found."""
        return len(self._ticks)

    @property
    def waiting_for(self) -> str | None:
        """What delivery or the first lane in trouble is waiting for, or None while all is well."""
        of_lanes = (lane.waiting_for for lane in self.lanes if lane.waiting_for)
        return self.held_by_bug or self._waiting.reason or next(of_lanes, None)

    @property
    def held_by_bug(self) -> str | None:
        """That all frames wait for an updated connector, or None."""
        return (holds := self._sorter.holds) and f"an updated connector, because of {holds}"

    @property
    def missing_topic(self) -> str | None:
        """Which topic has to be created, or None."""
        return self._waiting.missing_topic

    def request(self, isins: frozenset[str]) -> None:
        """Set the wanted bonds; ticks of other bonds are counted as unrequested."""
        self._sorter.request(isins)

    def last_tick_ns(self, isin: str) -> int | None:
        """Return the receive time (ns) of a bond's latest tick, or None."""
        return self._sorter.last_tick_ns(isin)

    def last_tick(self, isin: str) -> tuple[int, dict[str, str]] | None:
        """Return the receive time (ns) and the columns by name of a bond's latest tick, or None."""
        return self._sorter.last_tick(isin)

    async def run(self) -> None:
        """Deliver until cancelled."""
        failures = 0
        while True:
            started_at = time.monotonic()
            try:
                await self._deliver()
                continue
            except* UNREACHABLE as group:
                self._waiting.begin(_first(group))
            except* Exception as group:  # a bug here may delay ticks, but must not end the feed's reader
                error = _first(group)
                log.error("delivery_bug", exc_info=error)  # noqa: TRY400 - the group's first member is the cause
                self._waiting.begin(error)
            raise_if_cancelled()
            failures = 0 if time.monotonic() - started_at > 60 else failures + 1
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])

    async def drained(self, through: int) -> None:
        """Wait until every frame up to number `through` is finished."""
        while self._source.watermark < through:
            self._finished.clear()
            await self._finished.wait()

    async def adopt_partitions(self) -> bool:
        """Let the next ticks go to the partitions that the topics have.

        What was read is acknowledged first, so that no record is sent twice. Return False, and
        change nothing, if a partition lags, if a topic is missing, or if that takes longer than
        ADOPT_SECONDS.
        """
        if any(lane.behind_from is not None for lane in self.lanes):
            return False
        partitions = await self._assignment.partitions()
        if self.missing_topic is not None:
            return False
        await self._reading.pause()
        try:
            async with asyncio.timeout(ADOPT_SECONDS):
                await self.drained(self._reading.read_through)
        except TimeoutError:
            self._reading.resume()
            return False
        except BaseException:
            self._reading.resume()
            raise
        acknowledged = {(lane.topic, lane.partition): lane.acknowledged_records for lane in self.lanes}
        self._make_lanes(*partitions)
        for lane in self.lanes:
            lane.acknowledged_records = acknowledged.get((lane.topic, lane.partition), 0)
        self._replaced.set()
        return True

    async def _deliver(self) -> None:
        """Deliver until the lanes are replaced."""
        if self._replaced.is_set():
            self._replaced.clear()
            self._reading.resume()
        else:
            self._sorter.frame_with(await self._framing())
        if not self._ticks:
            self._make_lanes(*await self._assignment.partitions())
        lanes = self.lanes
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._assignment.run(lanes), name="delivery-assign"),
                group.create_task(self._reading.read_on(lanes, self._assignment.opened), name="delivery-read"),
                group.create_task(self._reading.read_again(lanes), name="delivery-read-again"),
            ]
            await self._replaced.wait()
            for task in tasks:
                task.cancel()

    def _make_lanes(self, ticks: Sequence[int], dead_letters: Sequence[int], latest: Sequence[int]) -> None:
        """Make a lane for each partition; those of ticks begin where the last process ended.

        Those of latest values do the same.

        Another decoding may make ticks of what were dead letters, and dead letters of what were
        ticks. So no lane of ticks begins after a dead letter that may be missing in Kafka, and the
        lanes of dead letters begin at the watermark.
        """
        of_letters = self._begins(self._kafka.dead_letters or "", dead_letters)
        bound = min(of_letters.values(), default=self._source.watermark)
        self._ticks = [
            Lane(self._kafka.ticks, number, position(min(saved, bound) + 1, 0) - 1, bury=self._bury)
            for number, saved in self._begins(self._kafka.ticks, ticks).items()
        ]
        self._dead_letters = [
            Lane(self._kafka.dead_letters or "", number, letters=Letters(self._give_up)) for number in dead_letters
        ]
        if self._kafka.latest is not None:
            topic = self._kafka.latest.name
            self._latest = [
                Lane(topic, number, position(min(saved, bound) + 1, 0) - 1, bury=self._leave_out)
                for number, saved in self._begins(topic, latest).items()
            ]
        self._sorter.route_to(self._ticks, self._dead_letters, self._latest)
        self.has_lanes.set()

    # -- what Kafka has ----------------------------------------------------------------------------

    def _acknowledged(self, batch: Batch) -> None:
        if self._kafka.latest is None or batch.topic != self._kafka.latest.name:
            self.counts.count_acknowledged(batch.received_ns, batch.reasons, time.time_ns())
        self._move_watermark_soon()

    def _move_watermark_soon(self) -> None:
        if not self._is_moving:  # one answer of a broker acknowledges the batches of several lanes
            self._is_moving = True
            asyncio.get_running_loop().call_soon(self._move_watermark)

    def _move_watermark(self) -> None:
        """Move the watermark to just before the first frame that has an unacknowledged record."""
        self._is_moving = False
        oldest = [at for lane in self.lanes if (at := lane.first_unacknowledged()) is not None]
        watermark = min([self._reading.read_through, *(frame_of(at) - 1 for at in oldest)])
        for seq in [seq for seq in self._given_up if seq <= watermark]:
            self._source.lose(seq, self._given_up.pop(seq))
        self._source.advance(watermark)
        self._finished.set()

    def watermarks(self) -> Mapping[str, int]:
        """Return for each lane the last frame up to which Kafka has all its records.

        The names hold the number of partitions: with another number, records change their lanes.
        """
        if not self._ticks:
            return self._source.lanes_at_start
        saved = {}
        bound = min([seq - 1 for seq in self._given_up], default=None)  # not yet counted as lost
        for lanes in (self._ticks, self._dead_letters, self._latest):
            names = self._names(lanes[0].topic, [lane.partition for lane in lanes]) if lanes else []
            for name, lane in zip(names, lanes, strict=True):
                at = lane.first_unacknowledged()
                seq = max(self._reading.read_through, self._saved(name)) if at is None else frame_of(at) - 1
                saved[name] = seq if bound is None else min(seq, bound)
        return saved

    @staticmethod
    def _names(topic: str, partitions: Sequence[int]) -> list[str]:
        return [f"{topic}/{number} of {len(partitions)}" for number in partitions]

    def _begins(self, topic: str, partitions: Sequence[int]) -> dict[int, int]:
        """Return for each partition the last frame that an earlier process delivered to it."""
        names = self._names(topic, partitions)
        return {number: self._saved(name) for number, name in zip(partitions, names, strict=True)}

    def _saved(self, name: str) -> int:
        return max(self._source.watermark, self._source.lanes_at_start.get(name, 0))

    # -- what Kafka refuses ------------------------------------------------------------------------

    async def _bury(self, lane: Lane, ticks: Sequence[Record], refused_as: str) -> None:
        """Let refused ticks go on as dead letters."""
        async for letter in letters_of(self._source, ticks, refused_as):
            if not self._dead_letters:
                self.counts.dead_letters["KAFKA_REFUSED"] += 1
                lane.settle(letter.position)
                self._move_watermark()
                continue
            to = lane_of(letter.key, self._dead_letters)
            if to.letters is None:
                continue
            if to.letters.is_full:
                lane.wait_for("Kafka to take the dead letters of refused ticks")
                await to.letters.room()
            lane.set_apart(letter, to.letters)
            to.wake()

    async def _leave_out(self, lane: Lane, refused: Sequence[Record], _: str) -> None:
        """Let refused latest values go: the ticks' topic or the dead letters have them."""
        for record in refused:
            lane.settle(record.position)
        self._move_watermark_soon()

    async def _give_up(self, letter: Letter) -> None:
        """Count the frame of a dead letter as lost once the watermark passes it."""
        seq, record = frame_of(letter.whole.position), letter.whole
        block = await self._source.read_again(seq - 1, seq, 1)
        if block.frames:
            self._given_up[seq] = block.frames[0]
        log.error("dead_letter_refused", frame=seq, reason=record.reason, bytes=len(record.value))
        if record.reason is not None:
            self.counts.dead_letters[record.reason] += 1
        letter.owner.settle(record.position)
        self._move_watermark()

    # -- what is shown -----------------------------------------------------------------------------

    def view(self) -> dict[str, Any]:
        """Return the state of delivery as /status shows it."""
        return {
            "waiting_for": self.waiting_for,
            "producer_rebuilds": self.counts.rebuilds,
            "lanes": [
                {
                    "topic": lane.topic,
                    "partition": lane.partition,
                    "leader": lane.leader,
                    "acknowledged": lane.acknowledged_records,
                    "behind": lane.behind_from is not None,
                    "waiting_for": lane.waiting_for,
                }
                for lane in self.lanes
            ],
        }


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
