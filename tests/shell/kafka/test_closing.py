"""aiokafka's clients end in time, whatever they do."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer
from structlog.testing import capture_logs

from connector.settings import KafkaSettings
from connector.shell.kafka import clients, closing
from connector.shell.kafka.closing import abandon
from simulator.embedded_kafka import EmbeddedKafka
from tests.kafka.reader import create_topics, read_all


async def test_a_close_that_hangs_is_given_up():
    """A client that does not close in time is left alone."""
    ended = asyncio.Event()

    async def hang():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with asyncio.timeout(30):
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


@pytest.mark.parametrize("hang", [True, False])
async def test_a_consumer_that_does_not_stop_keeps_no_connection(monkeypatch, hang):
    """If a consumer's own stop fails or hangs, its tasks and connections end all the same."""
    with EmbeddedKafka({"t": 1}) as kafka:
        consumer = AIOKafkaConsumer("t", bootstrap_servers=kafka.bootstrap_servers)
        await consumer.start()
        await consumer.getmany(timeout_ms=1)
        connections = list(consumer._client._conns.values())
        assert any(each.connected() for each in connections)

        async def close_coordinator():
            if hang:
                await asyncio.sleep(3600)
            raise RuntimeError("broken")

        monkeypatch.setattr(consumer._coordinator, "close", close_coordinator)
        async with asyncio.timeout(30):
            await closing.stop(consumer, 0.1)
        assert not any(each.connected() for each in connections)
        assert consumer._fetcher._fetch_task.done()
        monkeypatch.undo()
        await consumer._coordinator.close()


async def test_an_abandoned_producer_sends_nothing_later(own_kafka, topic_names):
    """A record that waits while the broker is away is not sent after its producer is abandoned."""
    create_topics(own_kafka.bootstrap_servers, {topic_names.ticks: 1})
    producer = clients.make_producer(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers), "me")
    await clients.start(producer)
    await producer.send_and_wait(topic_names.ticks, b"before", partition=0)
    await asyncio.to_thread(own_kafka.stop)
    waiting = await producer.send(topic_names.ticks, b"zombie", partition=0)
    async with asyncio.timeout(30):
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
