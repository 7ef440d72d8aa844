"""Membership in the group that shares the audit."""

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial

from confluent_kafka import Consumer, Producer, TopicPartition

from connector.settings import KafkaSettings
from connector.shell.coverage import TickGroup
from connector.shell.kafka.arguments import client_arguments
from tests.kafka.reader import create_topics

PARTITIONS = 4


class Audit:
    """Keeps what a member does; `can_write` false is a Kafka that does not acknowledge."""

    def __init__(self):
        self.taken, self.begun, self.offsets, self.flushes = [], [], {}, 0
        self.can_write, self.writing = True, asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def begin(self, partition, committed, offsets):
        """Begin a partition at what was committed."""
        self.begun.append((partition, committed, offsets))
        self.offsets[partition] = committed or 0

    async def take(self, partition, records):
        """Keep the records' values."""
        self.taken += [int(record.value) for record in records]
        self.offsets[partition] = records[-1].offset + 1

    async def flush(self):
        """Write for as long as the test wants."""
        self.writing.set()
        await self.goes_on.wait()
        self.flushes += 1
        return dict(self.offsets) if self.can_write else {}

    def end_all(self):
        """Forget all partitions."""
        self.offsets = {}

    def note_ends(self, ends):
        """Do nothing."""


class Topic:
    """A tick topic and its group."""

    def __init__(self, kafka, names):
        self.kafka, self.names = kafka, names
        self.counts = (PARTITIONS, PARTITIONS)
        create_topics(kafka.bootstrap_servers, {names.ticks: PARTITIONS})

    def write(self, numbers):
        """Write numbers, each to the partition of its rest."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers, "log_level": 0})
        for number in numbers:
            producer.produce(self.names.ticks, str(number), b"k", number % PARTITIONS)
        assert producer.flush(30) == 0

    def committed(self):
        """Return the group's committed offsets, in the order of the partitions."""
        settings = {"bootstrap.servers": self.kafka.bootstrap_servers, "group.id": self.group, "log_level": 0}
        consumer = Consumer(settings)
        try:
            places = [TopicPartition(self.names.ticks, number) for number in range(PARTITIONS)]
            return [each.offset for each in consumer.committed(places, timeout=20)]
        finally:
            consumer.close()

    @property
    def group(self):
        """The group's id."""
        return f"{self.names.ticks}-audit"

    async def _ask_counts(self):
        return self.counts

    @asynccontextmanager
    async def member(self):
        """Run one member."""
        settings = KafkaSettings(bootstrap_servers=self.kafka.bootstrap_servers)
        audit = Audit()
        group = TickGroup(
            (self.names.ticks, self.names.coverage),
            self.group,
            partial(client_arguments, settings, "test"),
            self._ask_counts,
            audit,
        )
        task = asyncio.create_task(group.run())
        try:
            yield group, audit
        finally:
            audit.goes_on.set()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def until(condition):
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(40):
        while not condition():
            await asyncio.sleep(0.05)


async def test_a_member_reads_all_and_commits_what_is_written(kafka, topic_names):
    """Every record comes once, is committed after a flush, and a new member goes on from there."""
    topic = Topic(kafka, topic_names)
    topic.write(range(40))
    async with topic.member() as (group, audit):
        await until(lambda: len(audit.taken) == 40)
        await asyncio.to_thread(topic.write, range(40, 48))
        await until(lambda: len(audit.taken) == 48)
        assert group.problem is None
        await until(lambda: topic.committed() == [12] * PARTITIONS)
    async with topic.member() as (_, audit):
        await until(lambda: len(audit.begun) == PARTITIONS)
        await asyncio.to_thread(topic.write, range(48, 52))
        await until(lambda: len(audit.taken) == 4)
        assert sorted(audit.taken) == [48, 49, 50, 51]
        assert audit.begun[0][1:] == (12, range(12))
        assert {number for number, _, _ in audit.begun} == set(range(PARTITIONS))


async def test_nothing_is_committed_that_is_not_written(kafka, topic_names):
    """As long as the records of a flush are not acknowledged, no offset is committed."""
    topic = Topic(kafka, topic_names)
    topic.write(range(8))
    async with topic.member() as (_, audit):
        audit.can_write = False
        await until(lambda: len(audit.taken) == 8 and audit.flushes > 2)
        assert set(await asyncio.to_thread(topic.committed)) == {-1001}  # librdkafka's "none"


async def test_a_second_member_gets_its_share_once_the_first_wrote(kafka, topic_names):
    """A revocation waits for what is being written; then each member has half."""
    topic = Topic(kafka, topic_names)
    async with topic.member() as (first, of_first):
        await until(lambda: len(first.partitions) == PARTITIONS)
        of_first.goes_on.clear()
        of_first.writing.clear()
        await of_first.writing.wait()
        async with topic.member() as (second, of_second):
            await asyncio.sleep(3)
            assert (len(first.partitions), of_second.begun) == (PARTITIONS, [])
            of_first.goes_on.set()
            await until(lambda: len(first.partitions) == len(second.partitions) == PARTITIONS // 2)
            assert first.partitions | second.partitions == set(range(PARTITIONS))
            assert {number for number, _, _ in of_second.begun} == second.partitions
        await until(lambda: len(first.partitions) == PARTITIONS)


async def test_topics_that_do_not_fit_are_not_audited(kafka, topic_names):
    """A coverage topic of another size, or none, is told, and nothing is read."""
    topic = Topic(kafka, topic_names)
    topic.write(range(4))
    topic.counts = (PARTITIONS, 2)
    async with topic.member() as (group, audit):
        await until(lambda: group.problem and "has 2 partitions" in group.problem)
        topic.counts = (PARTITIONS, 0)
        await until(lambda: "topics init" in group.problem)
        assert audit.begun == []
        topic.counts = (PARTITIONS, PARTITIONS)
        await until(lambda: len(audit.taken) == 4)
        assert group.problem is None
