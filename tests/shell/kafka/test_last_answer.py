"""When a broker last answered."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from connector.shell.kafka import last_answer
from simulator.embedded_kafka import EmbeddedKafka

SILENCE = 0.3


async def test_each_answer_breaks_the_silence_and_none_lets_it_pass(monkeypatch):
    """An answer to any client counts; without one, silence ends after its time and not before."""
    monkeypatch.setattr(last_answer._last, "at", time.monotonic() - 3600)
    with EmbeddedKafka({"t": 1}) as kafka:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
        began = time.monotonic()
        try:
            await consumer.start()
            assert last_answer._last.at >= began
            consumer.assign([TopicPartition("t", 0)])
            consumer.seek(TopicPartition("t", 0), 0)
            started = time.monotonic()
            async with asyncio.timeout(30):
                while last_answer._last.at < started:  # an empty fetch is answered, too
                    await consumer.getmany(timeout_ms=10)
        finally:
            await consumer.stop()
    answered = last_answer._last.at
    async with asyncio.timeout(30):
        await last_answer.silence(SILENCE)
    assert time.monotonic() >= answered + SILENCE
    assert last_answer._last.at == answered


async def test_a_long_silence_is_known_at_once(monkeypatch):
    """A stop that begins after the silence does not wait for it again."""
    monkeypatch.setattr(last_answer._last, "at", time.monotonic() - 3600)
    async with asyncio.timeout(5):
        await last_answer.silence(3000)
