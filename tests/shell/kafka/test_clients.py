"""aiokafka's clients get our settings."""

import asyncio

import pytest
from aiokafka.errors import KafkaError

from connector.settings import KafkaSettings
from connector.shell.kafka import clients
from connector.shell.kafka.closing import abandon
from connector.shell.kafka.metadata import fetch_metadata
from simulator.embedded_kafka import EmbeddedKafka
from tests.conftest import started
from tests.kafka.launcher import start_kafka


async def test_starting_fails_in_time_while_the_broker_is_away(monkeypatch):
    """A failed start raises and leaves no client open (a warning would fail this test)."""
    monkeypatch.setattr(clients, "START_SECONDS", 2.0)
    producer = clients.make_producer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "me")
    with pytest.raises((KafkaError, OSError, TimeoutError)):
        await clients.start(producer)


@pytest.mark.kafka
async def test_naming_a_topic_does_not_create_it(topic_names):
    """Asking for a missing topic creates none, even on brokers that create topics on demand."""
    willing = started(
        "a Kafka that creates topics by itself", lambda: start_kafka({"auto.create.topics.enable": "true"})
    )
    try:
        producer = clients.make_producer(KafkaSettings(bootstrap_servers=willing.bootstrap_servers), "me")
        await clients.start(producer)
        with pytest.raises(KafkaError):
            async with asyncio.timeout(30):
                await producer.partitions_for(topic_names.ticks)
        topics = (await fetch_metadata(producer.client, [topic_names.ticks])).topics()
        await abandon(producer)
        assert topic_names.ticks not in topics
    finally:
        await asyncio.to_thread(willing.close)


async def test_batches_of_one_partition_are_acknowledged_in_order():
    """Batches leave one after another, whether the partition's leader is known yet or not."""
    with EmbeddedKafka({"t": 2}) as kafka:
        producer = clients.make_producer(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), "me")
        await clients.start(producer)
        try:
            offsets = []
            for round_ in range(3):
                answers = []
                for number in (0, 1, 2):
                    batch = producer.create_batch()
                    batch.append(timestamp=1, key=b"k", value=b"%d" % number)
                    batch.close()
                    answers.append(await producer.send_batch(batch, "t", partition=0))
                offsets += [(await answer).offset for answer in answers]
                assert offsets == list(range(3 * (round_ + 1)))
            producer._message_accumulator._exception = KafkaError("the sender ended")
            batch = producer.create_batch()
            batch.append(timestamp=1, key=b"k", value=b"late")
            with pytest.raises(KafkaError, match="the sender ended"):
                await producer.send_batch(batch, "t", partition=1)
        finally:
            await abandon(producer)
