"""aiokafka's clients end in time, whatever they do."""

import asyncio

import pytest
from structlog.testing import capture_logs

from connector.settings import KafkaSettings
from connector.shell.kafka import clients, closing
from connector.shell.kafka.closing import abandon
from tests.kafka.reader import create_topics, read_all


async def test_a_close_that_hangs_is_given_up():
    """A client that does not close in time is left alone."""
    ended = asyncio.Event()

    async def hang():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with asyncio.timeout(5):
        await closing.close(hang, 0.01)
        await ended.wait()


@pytest.mark.parametrize("error", [RuntimeError("broken"), asyncio.CancelledError()])
async def test_a_close_that_fails_is_only_logged(error):
    """Whatever a client raises while it closes, its owner goes on."""

    async def fail():
        raise error

    with capture_logs() as logs:
        await closing.close(fail)
    assert [line["event"] for line in logs] == ["client_not_closed_cleanly"] * isinstance(error, RuntimeError)


async def test_an_abandoned_producer_sends_nothing_later(own_kafka, topic_names):
    """A record that waits while the broker is away is not sent after its producer is abandoned."""
    create_topics(own_kafka.bootstrap_servers, {topic_names.ticks: 1})
    producer = clients.make_producer(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers), "me")
    await clients.start(producer)
    await producer.send_and_wait(topic_names.ticks, b"before", partition=0)
    await asyncio.to_thread(own_kafka.stop)
    waiting = await producer.send(topic_names.ticks, b"zombie", partition=0)
    async with asyncio.timeout(10):
        await abandon(producer)
    await asyncio.to_thread(own_kafka.start)
    other = clients.make_producer(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers), "me")
    await clients.start(other)
    await other.send_and_wait(topic_names.ticks, b"after", partition=0)
    await abandon(other)
    values = [
        record.value for record in await asyncio.to_thread(read_all, own_kafka.bootstrap_servers, topic_names.ticks)
    ]
    assert values == [b"before", b"after"]
    waiting.cancel()
