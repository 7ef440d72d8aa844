"""Gives each lane its producer, and a new one after a failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka.errors import KafkaError

from connector.errors import ConnectorError
from connector.shell.delivery.producing import produce
from connector.shell.delivery.waiting import TopicMissing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from aiokafka import AIOKafkaProducer

    from connector.core.ticks.latest import Order
    from connector.shell.delivery.batch import Batch
    from connector.shell.delivery.counts import Counts
    from connector.shell.delivery.lane import Lane
    from connector.shell.delivery.waiting import Waiting

log = structlog.get_logger("connector.delivery")

LEADER_SECONDS = 0.5  # pause before the leaders are looked up again
UNREACHABLE: Final = (KafkaError, OSError, TimeoutError, ConnectorError)


@dataclass(frozen=True, slots=True)
class LatestTopic:
    """The topic of latest values; `orders` reads from it the order of each bond's value."""

    name: str
    orders: Callable[[], Awaitable[Mapping[str, Order]]]


@dataclass(frozen=True, slots=True)
class Kafka:
    """The topics that delivery writes, and the functions through which it uses Kafka.

    `dead_letters` may be None: then they are only counted. So may `latest`: then no latest values
    are written. `leaders` returns, by topic and partition, the leader's `host:port`, or None if a
    partition has no leader. A topic that does not exist is left out.
    """

    ticks: str
    dead_letters: str | None
    leaders: Callable[[], Awaitable[Mapping[str, Mapping[int, str | None]]]]
    make_producer: Callable[[str], AIOKafkaProducer]
    start: Callable[[AIOKafkaProducer], Awaitable[None]]
    abandon: Callable[[AIOKafkaProducer], Awaitable[None]]
    latest: LatestTopic | None = None

    def topics(self) -> list[str]:
        """Return the names of the topics."""
        latest = None if self.latest is None else self.latest.name
        return [name for name in (self.ticks, self.dead_letters, latest) if name is not None]


class Assignment:
    """Lanes whose partitions have the same leader share a producer.

    So a hanging broker or a failed batch does not affect the lanes of other brokers. If a leader
    moves without a failure, its lanes keep their producer.

    Lanes of latest values have producers of their own. Before they open, `learn_orders` gets the
    orders that are in their topic.
    """

    def __init__(
        self,
        kafka: Kafka,
        waiting: Waiting,
        counts: Counts,
        on_acknowledged: Callable[[Batch], None],
        learn_orders: Callable[[Mapping[str, Order]], None],
    ) -> None:
        self.opened = asyncio.Event()  # set whenever lanes get a producer
        self._kafka = kafka
        self._waiting = waiting
        self._counts = counts
        self._on_acknowledged = on_acknowledged
        self._learn_orders = learn_orders
        self._lane_changed = asyncio.Event()

    async def partitions(self) -> tuple[list[int], list[int], list[int]]:
        """Wait until the ticks' topic exists; return the partitions of each topic.

        They are those of ticks, of dead letters and of latest values. If the dead letters' topic is
        missing, its first partition is returned. If the latest values' topic is missing, as many
        are returned as the ticks have.
        """
        ticks, dead_letters, latest = self._kafka.ticks, self._kafka.dead_letters, self._kafka.latest
        while ticks not in (leaders := await self._leaders() or {}):  # noqa: ASYNC110 - Kafka tells nobody of a new topic
            await asyncio.sleep(LEADER_SECONDS)
        return (
            sorted(leaders[ticks]),
            [] if dead_letters is None else sorted(leaders.get(dead_letters, {0: None})),
            [] if latest is None else sorted(leaders.get(latest.name) or leaders[ticks]),
        )

    async def _leaders(self) -> Mapping[str, Mapping[int, str | None]] | None:
        """Return the leaders by topic and partition, or None; note what is wrong."""
        try:
            leaders = await self._kafka.leaders()
        except UNREACHABLE as error:
            self._waiting.begin(error)
            return None
        missing = [topic for topic in self._kafka.topics() if not leaders.get(topic)]
        if missing:
            self._waiting.begin(
                TopicMissing(
                    f"Kafka shows this user no topic {' and no topic '.join(missing)}. "
                    "Create what is missing with `kis-bond topics init`, or grant Describe."
                )
            )
        else:
            self._waiting.end()
        return leaders

    async def run(self, lanes: Sequence[Lane]) -> None:
        """Give each lane without a producer a new one, until cancelled."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as group:
            while True:
                self._lane_changed.clear()
                due = [lane for lane in lanes if not lane.is_assigned and lane.retry_at <= clock()]
                if due:
                    leaders = await self._leaders()
                    of_latest = [lane for lane in due if self._is_of_latest(lane)]
                    others = [lane for lane in due if lane not in of_latest]
                    for leader, together in chain(_by_leader(others, leaders), _by_leader(of_latest, leaders)):
                        for lane in together:
                            lane.assign(leader)
                        group.create_task(self._carry(leader, together), name=f"delivery-to-{leader}")
                if all(lane.is_assigned for lane in lanes):
                    await self._lane_changed.wait()
                else:
                    await asyncio.sleep(LEADER_SECONDS / 5 if not due else LEADER_SECONDS)

    def _is_of_latest(self, lane: Lane) -> bool:
        return self._kafka.latest is not None and lane.topic == self._kafka.latest.name

    async def _carry(self, leader: str, lanes: Sequence[Lane]) -> None:
        """Produce for these lanes until something fails, and let `run` assign them again."""
        failed: Mapping[Lane, BaseException]
        try:
            if self._kafka.latest is not None and self._is_of_latest(lanes[0]):
                self._learn_orders(await self._kafka.latest.orders())
            producer = self._kafka.make_producer(leader)
            await self._kafka.start(producer)
            for lane in lanes:
                lane.open(producer)
            self.opened.set()
            failed = await produce(lanes, producer, self._kafka.abandon, self._on_acknowledged)
            self._counts.rebuilds += 1
        except UNREACHABLE as error:
            failed = dict.fromkeys(lanes, error)
        finally:
            for lane in lanes:
                lane.unassign()
            self._lane_changed.set()
        now = asyncio.get_running_loop().time()
        for lane, reason in failed.items():
            if not lane.failures:
                log.warning(
                    "delivery_interrupted",
                    topic=lane.topic,
                    partition=lane.partition,
                    leader=leader,
                    cause=type(reason).__name__,
                    error=str(reason),
                )
            lane.note_failure(reason, now, is_suspect=lane.is_suspect or len(failed) < len(lanes))


def _by_leader(
    lanes: Sequence[Lane], leaders: Mapping[str, Mapping[int, str | None]] | None
) -> Iterator[tuple[str, list[Lane]]]:
    """Group lanes by their partition's leader; a suspect lane is a group of its own."""
    together: dict[str, list[Lane]] = {}
    for lane in lanes if leaders else ():
        partitions = leaders.get(lane.topic, {}) if leaders else {}
        leader = partitions.get(lane.partition)
        if partitions and lane.partition not in partitions:
            lane.wait_for(f"a restart: topic {lane.topic} does not have partition {lane.partition} any more")
        elif leader is None:
            lane.wait_for("a leader of the partition")
        elif lane.is_suspect:
            yield leader, [lane]
        else:
            together.setdefault(leader, []).append(lane)
    yield from together.items()
