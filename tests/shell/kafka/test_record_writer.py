import asyncio
import json
import time

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError

from connector.core import status
from connector.core.steps import finished
from connector.core.ticks.partition import partition
from connector.settings import KafkaSettings
from connector.shell.kafka import clients, record_writer
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.compacted_topic import CompactedTopic
from connector.shell.kafka.record_writer import Outgoing, RecordWriter
from connector.shell.topics.status import StatusTopic
from tests.kafka.reader import create_topics, read_all


@pytest.fixture
async def writer_of(own_kafka):
    """Make writers to a Kafka that the test may stop."""
    made = []

    def make(topic):
        settings = KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers)
        made.append(RecordWriter(topic, lambda: clients.make_producer(settings, "test")))
        return made[-1]

    yield make
    for writer in made:
        await writer.close()


async def test_records_are_written_where_java_would_write_them(own_kafka, topic_names, writer_of):
    """Each record is acknowledged, and is in the partition of its key, in order."""
    create_topics(own_kafka.bootstrap_servers, {topic_names.events: 6})
    records = [Outgoing(f"slot/{number % 7}".encode(), str(number).encode()) for number in range(50)]
    assert await writer_of(topic_names.events).write(records) == [None] * 50
    found = await asyncio.to_thread(read_all, own_kafka.bootstrap_servers, topic_names.events)
    assert {record.partition for record in found} == {partition(record.key, 6) for record in records}
    assert all(record.partition == partition(record.key, 6) for record in found)
    for key in {record.key for record in records}:
        assert [record.value for record in found if record.key == key] == [
            record.value for record in records if record.key == key
        ]


async def test_a_missing_topic_is_reported_and_not_created(own_kafka, topic_names, writer_of):
    """Writing to a missing topic fails with what to do, and succeeds once the topic exists."""
    writer = writer_of(topic_names.status)
    (failure,) = await writer.write([Outgoing(b"k", b"v")])
    assert isinstance(failure, UnknownTopicOrPartitionError)
    assert "topics init" in str(failure)
    create_topics(own_kafka.bootstrap_servers, {topic_names.status: 1})
    assert await writer.write([Outgoing(b"k", b"v")]) == [None]


async def test_one_record_too_large_fails_alone(own_kafka, topic_names, writer_of):
    """A record above aiokafka's own limit fails; the others of its batch are acknowledged."""
    create_topics(own_kafka.bootstrap_servers, {topic_names.status: 1})
    outcomes = await writer_of(topic_names.status).write(
        [Outgoing(b"a", b"1"), Outgoing(b"b", b"x" * 9 * 2**20), Outgoing(b"c", b"3")]
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True]


async def test_an_unforeseen_error_is_a_failure_of_each_record():
    """Whatever the client raises, the write returns it for each record."""
    error = RuntimeError("unforeseen")

    def new_producer():
        raise error

    assert await RecordWriter("t", new_producer).write([Outgoing(b"a", b"1"), Outgoing(b"b", None)]) == [error, error]


async def test_a_stopped_kafka_is_a_failure_in_time(own_kafka, topic_names, writer_of, monkeypatch):
    """While Kafka is away a write fails within its deadline; once it is back a write succeeds."""
    monkeypatch.setattr(record_writer, "ACKNOWLEDGE_SECONDS", 3)
    monkeypatch.setattr(clients, "START_SECONDS", 3)
    create_topics(own_kafka.bootstrap_servers, {topic_names.status: 1})
    writer = writer_of(topic_names.status)
    assert await writer.write([Outgoing(b"a", b"1")]) == [None]
    await asyncio.to_thread(own_kafka.stop)
    started = time.monotonic()
    assert None not in await writer.write([Outgoing(b"a", b"2")])
    assert None not in await writer.write([Outgoing(b"a", b"2")])
    assert time.monotonic() - started < 20
    await asyncio.to_thread(own_kafka.start)
    deadline = time.monotonic() + 60
    while await writer.write([Outgoing(b"a", b"3")]) != [None]:
        assert time.monotonic() < deadline
    found = await asyncio.to_thread(read_all, own_kafka.bootstrap_servers, topic_names.status)
    assert (found[0].value, found[-1].value) == (b"1", b"3")


async def test_the_status_topic_is_put_right_over_a_restart(own_kafka, topic_names, writer_of):
    """A second run reads what the first wrote, and changes what differs."""
    create_topics(own_kafka.bootstrap_servers, {topic_names.status: 1}, cleanup_policy="compact")
    restored = []
    for wish in ({"list/가": {"x": 1}, "slot/0": {"y": 1}}, {"list/가": {"x": 2}}):
        topic = StatusTopic(writer_of(topic_names.status))
        reader = CompactedTopic(
            topic_names.status,
            lambda: client_arguments(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers), "test"),
            lambda records, topic=topic: restored.append(finished(topic.restore(records))),
            lambda _: None,
        )
        tasks = [asyncio.create_task(reader.run()), asyncio.create_task(topic.run())]
        topic.publish(wish)
        assert await topic.wait_until_written(30)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert restored == [{}, {"list/가": {"x": 1}, "slot/0": {"y": 1}}]
    found = await asyncio.to_thread(read_all, own_kafka.bootstrap_servers, topic_names.status)
    latest = {record.key.decode(): record.value for record in found}
    assert latest == {"list/가": status.encode({"x": 2}), "slot/0": None}
    assert json.loads(found[0].value) == {"x": 1}


async def test_a_record_may_name_its_partition_headers_and_time(own_kafka, topic_names, writer_of):
    """What a record names itself is used; its headers come after the writer's own."""
    create_topics(own_kafka.bootstrap_servers, {topic_names.events: 6})
    record = Outgoing(b"k", b"v", 5, [("resume", b"x")], 1_700_000_000_000)
    assert await writer_of(topic_names.events).write([record]) == [None]
    (found,) = await asyncio.to_thread(read_all, own_kafka.bootstrap_servers, topic_names.events)
    assert (found.partition, found.headers, found.timestamp_ms) == (5, (("resume", b"x"),), 1_700_000_000_000)
