"""Following the topics that tell causes."""

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial

from confluent_kafka import Producer

from connector.settings import KafkaSettings
from connector.shell.coverage import FactTopics
from connector.shell.kafka.arguments import client_arguments
from tests.kafka.reader import create_topics


def write(kafka, topic, *values):
    """Write values to a topic with another client."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    for value in values:
        producer.produce(topic, value, b"k")
    assert producer.flush(30) == 0


async def until(condition):
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def following(kafka, names, found):
    """Follow status and events of a test."""
    arguments = partial(client_arguments, KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), "test")
    topics = FactTopics([names.status], [names.events], arguments, lambda record: found.append(record.value))
    task = asyncio.create_task(topics.run())
    try:
        yield topics
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_topics_are_read_to_their_end_and_followed(kafka, topic_names):
    """What the topics hold at the start comes before `restored`; later records follow."""
    create_topics(kafka.bootstrap_servers, {topic_names.status: 1, topic_names.events: 3})
    write(kafka, topic_names.status, b"s1", b"s2")
    write(kafka, topic_names.events, b"e1")
    found = []
    async with following(kafka, topic_names, found) as topics:
        await asyncio.wait_for(topics.restored.wait(), 30)
        assert sorted(found) == [b"e1", b"s1", b"s2"]
        assert topics.problem is None
        write(kafka, topic_names.events, b"e2")
        await until(lambda: found[3:] == [b"e2"])


async def test_a_missing_topic_is_a_problem_until_it_exists(kafka, topic_names):
    """A topic that is missing is named with what to do, and is not created by the reader."""
    create_topics(kafka.bootstrap_servers, {topic_names.status: 1})
    found = []
    async with following(kafka, topic_names, found) as topics:
        await until(lambda: topics.problem and topic_names.events in topics.problem)
        assert "topics init" in topics.problem
        assert not topics.restored.is_set()
        create_topics(kafka.bootstrap_servers, {topic_names.events: 1})
        await asyncio.wait_for(topics.restored.wait(), 30)
        assert topics.problem is None
