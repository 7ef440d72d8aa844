"""The embedded broker through both clients."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as OtherTopicPartition

from simulator.embedded_kafka import EmbeddedKafka, EmbeddedKafkaMissing
from tests.kafka.reader import read_all


def _threads():
    return sum(1 for _ in Path("/proc/self/task").iterdir())


async def _read_control(address):
    partition = TopicPartition("control", 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        read = []
        async with asyncio.timeout(30):
            while await consumer.position(partition) < end:
                read += [
                    (found.key, found.value)
                    for found in (await consumer.getmany(partition, timeout_ms=200)).get(partition, [])
                ]
        return read


async def test_idempotent_produce_is_read_by_the_other_client():
    """Another client reads what aiokafka produced: all of it, in order, on its partitions."""
    with EmbeddedKafka({"ticks": 3}) as kafka:
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True, acks="all"
        ) as producer:
            for number in range(300):
                sent = await producer.send(
                    "ticks", b"%d" % number, b"KR103502GA34", partition=number % 3, headers=[("slot", b"0")]
                )
            await producer.flush()
            await sent
        records = await asyncio.to_thread(read_all, kafka.bootstrap_servers, "ticks")
    assert [int(record.value or b"") for record in records] == [
        number for start in range(3) for number in range(start, 300, 3)
    ]
    assert {record.header("slot") for record in records} == {"0"}


async def test_the_control_topic_is_read_from_its_start_as_committed():
    """A read-committed reader finds every control record, tombstones too, and reaches the end."""
    with EmbeddedKafka({"control": 1}) as kafka:
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
            for value in (b"{}", None, b'{"instruments": []}'):
                await producer.send_and_wait("control", value, b"list")
        assert await _read_control(kafka.bootstrap_servers) == [
            (b"list", b"{}"),
            (b"list", None),
            (b"list", b'{"instruments": []}'),
        ]


async def test_a_topic_has_the_partitions_asked_for():
    """Topics have the given partitions, and three brokers replicate them three times."""
    with EmbeddedKafka({"ticks": 6, "slots": 1}, brokers=3) as kafka:
        assert len(kafka.bootstrap_servers.split(",")) == 3
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
            assert (await producer.partitions_for("ticks"), await producer.partitions_for("slots")) == (
                set(range(6)),
                {0},
            )


async def test_old_batches_give_way_at_five_mebibytes():
    """A partition keeps about its newest 5 MiB, and its first offset moves up."""
    with EmbeddedKafka({"ticks": 1}) as kafka:
        async with AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers, max_request_size=600_000, max_batch_size=600_000
        ) as producer:
            for _ in range(12):
                await producer.send_and_wait("ticks", os.urandom(512 * 1024))
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": "unused", "log_level": 0})
        first, end = await asyncio.to_thread(consumer.get_watermark_offsets, OtherTopicPartition("ticks", 0), 10)
        consumer.close()
    assert end == 12
    assert 1 <= first <= 3


def test_its_threads_end_with_it():
    """Closing ends the broker's threads and frees its port; a second call does no harm."""
    before = _threads()
    kafka = EmbeddedKafka({"ticks": 1})
    assert _threads() > before
    kafka.close()
    kafka.close()
    deadline = time.monotonic() + 60
    while _threads() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _threads() <= before


def test_starting_does_not_wait_for_the_mocks_next_second():
    """Creating thirty topics never waits for the second that librdkafka's loop may sleep."""
    took = []
    for _ in range(3):  # a busy machine may be slow once
        begun = time.monotonic()
        with EmbeddedKafka({f"topic-{number}": 6 for number in range(30)}):
            took.append(time.monotonic() - begun)
        if took[-1] < 0.9:
            break
    assert min(took) < 0.9


def test_a_bad_topic_name_is_refused():
    """A topic librdkafka refuses is named in the error, and nothing is left running."""
    before = _threads()
    with pytest.raises(RuntimeError, match="did not create topic ticks"):
        EmbeddedKafka({"ticks": 0})
    assert _threads() <= before


def test_without_the_wheel_the_error_names_the_extra(monkeypatch):
    """If confluent-kafka is not installed, the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(EmbeddedKafkaMissing, match="its extra demo"):
        EmbeddedKafka({"ticks": 1})


def test_a_wheel_without_the_library_is_told_apart(monkeypatch, tmp_path):
    """If the wheel has no shared library beside it, the error says where it was sought."""
    monkeypatch.setattr(sys.modules["confluent_kafka"], "__file__", str(tmp_path / "confluent_kafka" / "__init__.py"))
    with pytest.raises(EmbeddedKafkaMissing, match="no librdkafka beside"):
        EmbeddedKafka({"ticks": 1})
