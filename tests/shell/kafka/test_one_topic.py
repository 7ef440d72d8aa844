"""A topic is read to its end as seen at the start, whatever its last offsets hold."""

import asyncio
import socket

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndTimestamp
from confluent_kafka import Producer

from connector.errors import NotInTime
from connector.shell.kafka import one_topic
from connector.shell.kafka.one_topic import records
from simulator.embedded_kafka import EmbeddedKafka
from tests.kafka.reader import QUIET, create_topics
from tests.shell.kafka.stamps import write_with_stamps


async def values(topic, kafka, **more):
    """Return the values of a topic."""
    arguments = {"bootstrap_servers": kafka.bootstrap_servers} | more
    return [one.value async for batch in records(topic, arguments) for one in batch]


async def test_every_committed_record_is_read(kafka, topic_names):
    """Empty partitions, and a transaction that was aborted at the end, do not keep the reader."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 3})
    producer = Producer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic_names.ticks})

    def write():
        producer.init_transactions(30)
        producer.begin_transaction()
        for number in range(2000):
            producer.produce(topic_names.ticks, value=b"%d" % number, partition=0)
        producer.commit_transaction(30)
        producer.begin_transaction()
        producer.produce(topic_names.ticks, value=b"aborted", partition=1)
        producer.flush(20)
        producer.abort_transaction(30)

    await asyncio.to_thread(write)
    assert await values(topic_names.ticks, kafka) == [b"%d" % number for number in range(2000)]


async def test_an_empty_topic_has_no_records(kafka, topic_names):
    """The reader ends at once."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 1})
    assert await values(topic_names.ticks, kafka) == []


async def test_records_without_timestamps_before_a_time_are_read(monkeypatch):
    """Kafka finds the first record with a timestamp; those just before it may be as new."""
    monkeypatch.setattr(AIOKafkaConsumer, "offsets_for_times", found_at_2)
    with EmbeddedKafka({"t": 2}) as broker:
        arguments = {"bootstrap_servers": broker.bootstrap_servers}
        await write_with_stamps(arguments, "t", lambda number: b"%d" % number, {1: 0, 2: 0, 3: 0, 4: 1, 5: 0, 6: 1})
        found = [one.value async for batch in records("t", arguments, 3000) for one in batch]
    assert sorted(found) == [b"2", b"3", b"4", b"5", b"6"]


async def found_at_2(_, places):
    """Return what a broker with look-up of times finds: offset 2 of partition 0, no other."""
    return {place: None if place.partition else OffsetAndTimestamp(2, 3000) for place in places}


async def test_a_missing_topic_is_named(kafka, topic_names):
    """The sentence says how to create it."""
    with pytest.raises(NotInTime, match=f"Topic {topic_names.ticks} does not exist or may not be read"):
        await values(topic_names.ticks, kafka)


async def test_a_kafka_that_is_away_is_named(monkeypatch):
    """The reader gives up within its patience."""
    monkeypatch.setattr(one_topic, "PATIENCE_SECONDS", 2)
    with pytest.raises(NotInTime, match=r"x at 127\.0\.0\.1:1 could not be read"):
        [one async for one in records("x", {"bootstrap_servers": "127.0.0.1:1"})]


async def test_a_kafka_that_says_nothing_is_given_up(monkeypatch):
    """A broker that accepts a connection and never answers costs no more than the patience."""
    monkeypatch.setattr(one_topic, "PATIENCE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # nobody accepts
        servers = f"127.0.0.1:{silent.getsockname()[1]}"
        async with asyncio.timeout(30):
            with pytest.raises(NotInTime, match=r"Kafka sent nothing for 0\.5 s"):
                [one async for one in records("x", {"bootstrap_servers": servers})]
