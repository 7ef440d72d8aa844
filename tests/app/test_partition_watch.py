"""A tick topic with another number of partitions is told, and taken over if that is wanted."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from connector.app import partition_watch
from connector.app.partition_watch import PartitionWatch
from connector.shell.delivery import Delivery
from tests.shell.delivery.fake_kafka import TICKS, Brokers
from tests.shell.delivery.frames import MemoryJournal
from tests.shell.delivery.work import SCHEMA, plain, until


class Journal(MemoryJournal):
    """A journal in memory that keeps texts."""

    def __init__(self):
        super().__init__()
        self.texts = {}

    async def save(self, name, value):
        self.texts[name] = value

    async def saved(self, name):
        return self.texts.get(name)


class Watched:
    """A watch over a running delivery; `told` holds (before, after, adopted)."""

    def __init__(self, journal, partitions, *, adopts):
        self.brokers, self.told = Brokers(partitions), []
        self.delivery = Delivery(journal, SCHEMA, self.brokers.kafka(), plain)
        self.watch = PartitionWatch(TICKS, self.delivery, journal, self.brokers.leaders, self._tell, adopts=adopts)
        self.tasks = [asyncio.create_task(each.run()) for each in (self.delivery, self.watch)]

    def _tell(self, topic, before, after, *, adopted):
        assert topic == TICKS
        self.told.append((before, after, adopted))

    def resize(self, count):
        """Give the topic another number of partitions."""
        for place in [place for place in self.brokers.leads if place[0] == TICKS]:
            del self.brokers.leads[place]
        self.brokers.leads |= {(TICKS, number): "broker-0" for number in range(count)}
        self.brokers.logs |= {place: [] for place in self.brokers.leads if place not in self.brokers.logs}


@pytest.fixture
async def watching(monkeypatch):
    """Return a function that begins to watch a topic of so many partitions."""
    monkeypatch.setattr(partition_watch, "LOOK_SECONDS", 0.02)
    tasks = []

    async def begin(partitions, *, adopts=False, journal=None):
        watched = Watched(journal or Journal(), partitions, adopts=adopts)
        tasks.extend(watched.tasks)
        await until(watched.delivery.has_lanes.is_set)
        return watched

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def looks(watched, count=3):
    """Wait until the topic was looked at so often."""
    for _ in range(count):
        await watched.watch.look()


async def test_a_change_is_told_once_and_the_number_is_kept(watching):
    """The warning and the event name both numbers; a change back and another one are told."""
    watched = await watching(4)
    with capture_logs() as logs:
        watched.resize(6)
        await until(lambda: watched.told)
        await looks(watched)
    assert watched.told == [(4, 6, False)]
    assert watched.delivery.tick_partitions == 4
    (line,) = logs
    assert {name: line[name] for name in ("event", "log_level", "topic", "before", "after", "adopted")} == {
        "event": "partitions_changed",
        "log_level": "warning",
        "topic": TICKS,
        "before": 4,
        "after": 6,
        "adopted": False,
    }
    watched.resize(4)
    await looks(watched)
    watched.resize(6)
    await looks(watched)
    assert watched.told == [(4, 6, False)] * 2


async def test_a_greater_number_is_taken_over_if_that_is_wanted(watching):
    """With `topics.adopt_partitions`, ticks go by the new number, and a restart finds it known."""
    journal = Journal()
    watched = await watching(4, adopts=True, journal=journal)
    await looks(watched)
    watched.resize(6)
    await until(lambda: watched.told)
    await looks(watched)
    assert watched.told == [(4, 6, True)]
    assert watched.delivery.tick_partitions == 6
    later = await watching(6, journal=journal)
    await looks(later)
    assert later.told == []


async def test_a_bug_while_partitions_are_taken_over_does_not_end_the_watch(watching, monkeypatch):
    """The next look tries again."""
    watched = await watching(4, adopts=True)
    adopt, failed = watched.delivery.adopt_partitions, asyncio.Event()

    async def fails_once():
        if failed.is_set():
            return await adopt()
        failed.set()
        raise ValueError("a bug of the client")

    monkeypatch.setattr(watched.delivery, "adopt_partitions", fails_once)
    watched.resize(6)
    await until(lambda: watched.told)
    assert failed.is_set()
    assert watched.told == [(4, 6, True)]


async def test_a_smaller_number_is_told_and_waits_for_a_restart(watching):
    """The ticks of missing partitions have nowhere to go, whatever is wanted."""
    watched = await watching(4, adopts=True)
    watched.resize(2)
    await until(lambda: watched.told)
    await looks(watched)
    assert (watched.told, watched.delivery.tick_partitions) == ([(4, 2, False)], 4)


async def test_a_restart_takes_over_any_number_and_says_so(watching):
    """The number of the last run is kept beside the journal, with the topic's name."""
    journal = Journal()
    await looks(await watching(4, journal=journal))
    for count, told in ((6, [(4, 6, True)]), (6, []), (2, [(6, 2, True)])):
        watched = await watching(count, journal=journal)
        await until(lambda count=count: journal.texts[partition_watch.SAVED_AS] == f"{TICKS}/{count}")
        assert watched.told == told
    for saved in ("another topic/3", TICKS, f"{TICKS}/", f"{TICKS}/x", f"{TICKS}/-3", f"{TICKS}/{'9' * 5000}", "/", ""):
        journal.texts[partition_watch.SAVED_AS] = saved
        watched = await watching(4, journal=journal)
        await looks(watched)
        assert (watched.told, [task.done() for task in watched.tasks]) == ([], [False, False])


async def test_while_kafka_or_the_topic_is_away_nothing_is_told(watching):
    """Neither an error nor a missing topic is a change."""
    watched = await watching(4, adopts=True)

    async def away():
        raise KafkaConnectionError("away")

    watched.watch._leaders = away
    await looks(watched)
    watched.watch._leaders = watched.brokers.leaders
    watched.resize(0)
    await looks(watched)
    assert (watched.told, watched.delivery.tick_partitions) == ([], 4)
