"""Keys get the same partitions as from the Java client and from librdkafka."""

import json
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks.partition import murmur2, partition
from simulator.embedded_kafka import EmbeddedKafka

VECTORS = json.loads((Path(__file__).parents[2] / "data" / "murmur2.json").read_text())["vectors"]
JAVA_INT = 1 << 32


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["key"] or "empty")
def test_hash_and_partition_are_the_java_clients(vector):
    """A key has the hash and, of six and of seven, the partition that kafka-clients gives it."""
    key = bytes.fromhex(vector["key"])
    assert murmur2(key) == vector["murmur2"] % JAVA_INT
    assert (partition(key, 6), partition(key, 7)) == (vector["of_6"], vector["of_7"])


@given(st.binary(max_size=200))
def test_hash_agrees_with_another_implementation(key):
    """Any key has the hash that aiokafka's own partitioner computes."""
    assert murmur2(key) == murmur2_of_aiokafka(key)


@pytest.mark.parametrize("partitioner", ["murmur2", "murmur2_random"])
def test_librdkafka_puts_the_same_keys_on_the_same_partitions(partitioner):
    """A record that librdkafka produces lands on the partition we choose for its key."""
    landed = {}
    with EmbeddedKafka({"ticks": 6}) as kafka:
        settings = {
            "bootstrap.servers": kafka.bootstrap_servers,
            "partitioner": partitioner,
            "linger.ms": 5,
            "log_level": 0,
        }
        producer = Producer(settings)
        for number in range(300):
            producer.produce(
                "ticks",
                b"",
                b"KR%09d%d" % (number * 104_729, number % 10),
                on_delivery=lambda _, r: landed.update({r.key(): r}),
            )
        assert producer.flush(20) == 0
    assert len(landed) == 300
    assert {key: record.partition() for key, record in landed.items()} == {key: partition(key, 6) for key in landed}


def test_a_topic_has_at_least_one_partition():
    """A count below one is a ValueError with a reason instead of a division by zero."""
    with pytest.raises(ValueError, match="at least one partition, not 0"):
        partition(b"KR103502GA34", 0)
