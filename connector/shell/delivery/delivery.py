"""Reads the journal into one lane for each partition, and gives the lanes their producers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connector.core.ticks.avro import Source, TickSchema
from connector.core.ticks.columns import repaired
from connector.core.ticks.frame import ENCRYPTED_PREFIX
from connector.errors import ConnectorError
from connector.shell.delivery.batch import Batch, Record
from connector.shell.delivery.counts import Counts
from connector.shell.delivery.lane import Lane
from connector.shell.delivery.letters import Letter, Letters
from connector.shell.delivery.position import frame_of, position
from connector.shell.delivery.producing import produce
from connector.shell.delivery.refused_ticks import letters_of
from connector.shell.delivery.sorter import Sorter, lane_of
from connector.shell.delivery.source import FrameBlock, FrameSource, turns
from connector.shell.kafka.diagnosis import describe

if TYPE_CHECKING:
    from connector.core.ticks.frame import Received

log = structlog.get_logger("connector.delivery")

FRAMES_A_TURN = 256  # decoding this many single-tick frames holds the loop for a few ms
FRAMES_AGAIN = 1024  # a read for a lagging lane takes many frames, because it is handed to a thread
PATIENCE_SECONDS = 0.5  # a full lane that sends nothing for this long is left behind
LEADER_SECONDS = 0.5  # pause before the leaders are looked up again
KEY_WAIT_SECONDS = 5.0  # how long after its receipt an encrypted frame waits for a key
KEY_POLL_SECONDS = 0.02
CATCH_UP_POLL_SECONDS = 0.02
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Kafka:
    """The topics that delivery writes, and the functions through which it uses Kafka.

    `dead_letters` is None if dead letters are only counted. `leaders` returns, by topic and
    partition, the leader's `host:port`, or None if a partition has no leader. A topic that does not
    exist is left out.
    """

    ticks: str
    dead_letters: str | None
    leaders: Callable[[], Awaitable[Mapping[str, Mapping[int, str | None]]]]
    make_producer: Callable[[str], AIOKafkaProducer]
    start: Callable[[AIOKafkaProducer], Awaitable[None]]
    abandon: Callable[[AIOKafkaProducer], Awaitable[None]]


class Delivery:
    """Delivers the journal's frames to Kafka.

    After a failure, delivery goes on from the first unacknowledged record. One reader reads the
    journal for all lanes that keep up. A lane falls behind if it has no producer, or if it is full
    and sends nothing. A second reader reads the journal again for lagging lanes, so that no
    partition holds up another. Lanes whose partitions have the same leader share a producer. So a
    hanging broker or a failed batch does not affect the lanes of other brokers. If a leader moves
    without a failure, its lanes keep their producer.
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
        self.missing_topic: str | None = None
        self.lanes: list[Lane] = []
        self._requested: frozenset[str] | None = None
        self._waiting_for: str | None = "the first connection to Kafka"
        self._latest: dict[str, tuple[int, bytes]] = {}
        self._source = source
        self._schema = schema
        self._kafka = kafka
        self._framing = framing
        self._tick_source = tick_source
        self._sorter: Sorter | None = None
        self._read_through = source.watermark
        self._counted_through = source.watermark
        self._given_up: dict[int, Received] = {}  # frames whose dead letter Kafka refused for good
        self._served_at: dict[Lane, float] = {}
        self._is_moving = False
        self._placing = asyncio.Lock()
        self._finished = asyncio.Event()
        self._lane_changed = asyncio.Event()
        self._lane_opened = asyncio.Event()

    @property
    def waiting_for(self) -> str | None:
        """What delivery or the first lane in trouble is waiting for, or None while all is well."""
        return self._waiting_for or next((lane.waiting_for for lane in self.lanes if lane.waiting_for), None)

    def request(self, isins: frozenset[str]) -> None:
        """Set the wanted bonds; ticks of other bonds are counted as unrequested."""
        self._requested = isins
        if self._sorter:
            self._sorter.requested = isins

    async def run(self) -> None:
        """Deliver until cancelled."""
        failures = 0
        while True:
            started_at = time.monotonic()
            try:
                await self._deliver()
            except* (KafkaError, OSError, TimeoutError, ConnectorError) as group:
                self._wait_for(_first(group))
            except* Exception as group:  # a bug here may delay ticks, but must not end the feed's reader
                error = _first(group)
                log.error("delivery_bug", exc_info=error)  # noqa: TRY400 - the group's first member is the cause
                self._wait_for(error)
            failures = 0 if time.monotonic() - started_at > 60 else failures + 1
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])

    async def drained(self, through: int) -> None:
        """Wait until every frame up to number `through` is finished."""
        while self._source.watermark < through:
            self._finished.clear()
            await self._finished.wait()

    async def _deliver(self) -> None:
        prefix = await self._framing()
        if not self.lanes:
            self.lanes = await self._make_lanes()
        self._sorter = Sorter(
            self._schema,
            prefix,
            [lane for lane in self.lanes if lane.topic == self._kafka.ticks],
            [lane for lane in self.lanes if lane.topic == self._kafka.dead_letters],
            self._source.keys,
            self.counts,
            self._tick_source,
        )
        self._sorter.requested, self._sorter.counted_through = self._requested, self._counted_through
        self._sorter.latest = self._latest
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._assign(group), name="delivery-assign")
                group.create_task(self._read_on(self._sorter), name="delivery-read")
                group.create_task(self._read_again(self._sorter), name="delivery-read-again")
        finally:
            self._counted_through = self._sorter.counted_through

    # -- who produces what -------------------------------------------------------------------------

    async def _make_lanes(self) -> list[Lane]:
        """Wait until the ticks' topic exists, and return a lane for each partition.

        If the dead letters' topic is missing, it gets one lane, for its first partition.
        """
        while True:
            try:
                leaders = await self._leaders()
                if self._kafka.ticks in leaders:
                    break
            except (KafkaError, OSError, TimeoutError, ConnectorError) as error:
                self._wait_for(error)
            await asyncio.sleep(LEADER_SECONDS)
        ticks, dead_letters = self._kafka.ticks, self._kafka.dead_letters
        lanes = [Lane(ticks, number, bury=self._bury) for number in sorted(leaders[ticks])]
        if dead_letters is not None:
            lanes += [
                Lane(dead_letters, number, letters=Letters(self._give_up))
                for number in sorted(leaders.get(dead_letters, {0: None}))
            ]
        return lanes

    async def _leaders(self) -> Mapping[str, Mapping[int, str | None]]:
        """Return the leaders by topic and partition, and note a missing topic.

        Raises Kafka's errors.
        """
        leaders = await self._kafka.leaders()
        topics = (self._kafka.ticks, self._kafka.dead_letters)
        missing = [topic for topic in topics if topic is not None and not leaders.get(topic)]
        if missing:
            self._wait_for(
                TopicMissing(
                    f"Topic {' and topic '.join(missing)} is missing, or this user may not describe it. "
                    "Create it with `kis-bond topics init`."
                )
            )
        else:
            self._waiting_for = self.missing_topic = None
        return leaders

    async def _assign(self, group: asyncio.TaskGroup) -> None:
        """Give each lane without a producer a new one; lanes of the same leader share it."""
        clock = asyncio.get_running_loop().time
        while True:
            self._lane_changed.clear()
            due = [lane for lane in self.lanes if not lane.is_assigned and lane.retry_at <= clock()]
            if due:
                try:
                    leaders = await self._leaders()
                except (KafkaError, OSError, TimeoutError, ConnectorError) as error:
                    self._wait_for(error)
                    leaders = {}
                for leader, lanes in _by_leader(due, leaders):
                    for lane in lanes:
                        lane.is_assigned, lane.leader = True, leader
                    group.create_task(self._carry(leader, lanes), name=f"delivery-to-{leader}")
            if all(lane.is_assigned for lane in self.lanes):
                await self._lane_changed.wait()
            else:
                await asyncio.sleep(LEADER_SECONDS / 5 if not due else LEADER_SECONDS)

    async def _carry(self, leader: str, lanes: Sequence[Lane]) -> None:
        """Produce for these lanes until something fails, and let `_assign` assign them again."""
        loop = asyncio.get_running_loop()
        failed: Mapping[Lane, BaseException]
        try:
            producer = self._kafka.make_producer(leader)
            await self._kafka.start(producer)
            for lane in lanes:
                lane.open(producer)
            self._lane_opened.set()
            failed = await produce(lanes, producer, self._kafka.abandon, self._acknowledged)
            self.counts.rebuilds += 1
        except (KafkaError, OSError, TimeoutError, ConnectorError) as error:
            failed = dict.fromkeys(lanes, error)
        finally:
            for lane in lanes:
                lane.is_assigned, lane.leader = False, None
            self._lane_changed.set()
        for lane, reason in failed.items():
            if not lane.failures:
                cause = type(reason).__name__
                log.warning(
                    "delivery_interrupted",
                    topic=lane.topic,
                    partition=lane.partition,
                    leader=leader,
                    cause=cause,
                    error=str(reason),
                )
            lane.note_failure(reason, loop.time(), is_suspect=lane.is_suspect or len(failed) < len(lanes))

    # -- from the journal into the lanes -----------------------------------------------------------

    async def _read_on(self, sorter: Sorter) -> None:
        """Read the journal, once for all lanes that keep up."""
        while True:
            while not any(lane.is_open for lane in self.lanes):
                self._lane_opened.clear()
                await self._lane_opened.wait()
            block = await self._source.read(self._read_through, FRAMES_A_TURN)
            for turn in turns(block):
                async with self._placing:
                    await self._keys_for(turn, sorter)
                    for lane in self.lanes:
                        if not lane.is_open:
                            lane.fall_behind(position(turn.first_seq, 0))
                    sorter.place(turn.first_seq, turn.frames)
                    self._read_through = turn.last_seq
                self._move_watermark()
                await self._leave_stuck_behind()
                await asyncio.sleep(0)

    async def _leave_stuck_behind(self) -> None:
        """Wait up to PATIENCE_SECONDS for full lanes; a lane that is still full falls behind."""
        until = time.monotonic() + PATIENCE_SECONDS
        for lane in self.lanes:
            if lane.is_full and lane.behind_from is None and not await lane.room(until - time.monotonic()):
                lane.fall_behind(position(self._read_through + 1, 0))

    async def _keys_for(self, block: FrameBlock, sorter: Sorter) -> None:
        """Wait for the key of each encrypted frame, up to KEY_WAIT_SECONDS after its receipt.

        If the clock was set back meanwhile, the frame counts as just received.
        """
        for frame in [frame for frame in block.frames if frame.raw[:2] == ENCRYPTED_PREFIX]:
            age = max(0.0, (time.time_ns() - frame.received_ns) / 1e9)
            until = time.monotonic() + KEY_WAIT_SECONDS - age
            while sorter.lacks_key(frame) and time.monotonic() < until:  # noqa: ASYNC110 - rare and short
                await asyncio.sleep(KEY_POLL_SECONDS)

    async def _read_again(self, sorter: Sorter) -> None:
        """Read the journal again for lagging lanes, first for the lane that has waited longest."""
        while True:
            waiting = [lane for lane in self.lanes if _can_catch_up(lane)]
            if not waiting:
                await asyncio.sleep(CATCH_UP_POLL_SECONDS)
                continue
            lane = min(waiting, key=lambda each: self._served_at.get(each, 0.0))
            self._served_at[lane] = time.monotonic()
            after = frame_of(lane.behind_from or 0) - 1
            if self._read_through - after > FRAMES_AGAIN:
                await self._catch_up(
                    sorter, after, await self._source.read_again(after, self._read_through, FRAMES_AGAIN), is_last=False
                )
            else:  # nearly there: the lock stops the other reader, which would otherwise stay ahead
                async with self._placing:
                    block = await self._source.read_again(after, self._read_through, FRAMES_AGAIN)
                    await self._catch_up(sorter, after, block, is_last=block.last_seq >= self._read_through)
            self._move_watermark()
            await asyncio.sleep(0)

    async def _catch_up(self, sorter: Sorter, after: int, block: FrameBlock, *, is_last: bool) -> None:
        """Place the block's frames into each lagging lane that has all records up to `after`.

        `is_last` is true if these lanes keep up again after the block.
        """
        for turn in turns(block):
            if turn.first_seq > block.first_seq:
                after = turn.first_seq - 1
                await asyncio.sleep(0)
            serving = [lane for lane in self.lanes if _can_catch_up(lane) and frame_of(lane.behind_from or 0) > after]
            if not serving:
                return
            sorter.place(turn.first_seq, turn.frames, serving)
            is_end = is_last and turn.last_seq == block.last_seq
            for lane in serving:
                lane.behind_from = None if is_end else max(lane.behind_from or 0, position(turn.last_seq + 1, 0))

    # -- what Kafka has ----------------------------------------------------------------------------

    def _acknowledged(self, batch: Batch) -> None:
        self.counts.count_acknowledged(batch.received_ns, batch.reasons, time.time_ns())
        if not self._is_moving:  # one answer of a broker acknowledges the batches of several lanes
            self._is_moving = True
            asyncio.get_running_loop().call_soon(self._move_watermark)

    def _move_watermark(self) -> None:
        """Move the watermark to just before the first frame that has an unacknowledged record."""
        self._is_moving = False
        oldest = [at for lane in self.lanes if (at := lane.first_unacknowledged()) is not None]
        watermark = min([self._read_through, *(frame_of(at) - 1 for at in oldest)])
        for seq in [seq for seq in self._given_up if seq <= watermark]:
            self._source.lose(seq, self._given_up.pop(seq))
        self._source.advance(watermark)
        self._finished.set()

    def watermarks(self) -> dict[str, int]:
        """Return for each lane the last frame up to which Kafka has all its records."""
        oldest = {f"{lane.topic}/{lane.partition}": lane.first_unacknowledged() for lane in self.lanes}
        return {name: self._read_through if at is None else frame_of(at) - 1 for name, at in oldest.items()}

    # -- what Kafka refuses ------------------------------------------------------------------------

    async def _bury(self, lane: Lane, ticks: Sequence[Record], refused_as: str) -> None:
        """Let refused ticks go on as dead letters."""
        dead_letters = [each for each in self.lanes if each.letters is not None]
        async for letter in letters_of(self._source, ticks, refused_as):
            if not dead_letters:
                self.counts.dead_letters["KAFKA_REFUSED"] += 1
                lane.settle(letter.position)
                self._move_watermark()
                continue
            to = lane_of(letter.key, dead_letters)
            if to.letters is None:
                continue
            if to.letters.is_full:
                lane.waiting_for = "Kafka to take the dead letters of refused ticks"
                await to.letters.room()
            lane.set_apart(letter, to.letters)
            to.wake()

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

    def _wait_for(self, error: BaseException) -> None:
        reason = describe(error)
        if reason != self._waiting_for:
            log.warning(
                "delivery_waits", cause=type(error).__name__, error=str(error), pending_from=self._source.watermark + 1
            )
        self._waiting_for = reason
        self.missing_topic = str(error) if isinstance(error, TopicMissing) else None

    def last_tick_ns(self, isin: str) -> int | None:
        """Return the receive time (ns) of a bond's latest tick, or None."""
        return self._latest[isin][0] if isin in self._latest else None

    def last_tick(self, isin: str) -> tuple[int, dict[str, str]] | None:
        """Return the receive time (ns) and the columns by name of a bond's latest tick, or None."""
        if isin not in self._latest:
            return None
        received_ns, raw = self._latest[isin]
        texts = raw.decode("utf-8", "surrogateescape").split("^")
        return received_ns, {
            column["name"]: repaired(text) for column, text in zip(self._schema.columns, texts, strict=False)
        }

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


class TopicMissing(ConnectorError):
    """A topic that the connector writes does not exist, and the running connector creates none."""


def _can_catch_up(lane: Lane) -> bool:
    return lane.behind_from is not None and lane.is_open and not lane.is_full


def _by_leader(
    lanes: Sequence[Lane], leaders: Mapping[str, Mapping[int, str | None]]
) -> Iterator[tuple[str, list[Lane]]]:
    """Group lanes by their partition's leader; a suspect lane is a group of its own."""
    together: dict[str, list[Lane]] = {}
    for lane in lanes:
        partitions = leaders.get(lane.topic, {})
        leader = partitions.get(lane.partition)
        if partitions and lane.partition not in partitions:
            lane.waiting_for = f"a restart: topic {lane.topic} does not have partition {lane.partition} any more"
        elif leader is None:
            lane.waiting_for = "a leader of the partition" if leaders else lane.waiting_for
        elif lane.is_suspect:
            yield leader, [lane]
        else:
            together.setdefault(leader, []).append(lane)
    yield from together.items()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
