"""The tests' Kafka, its independent reader, and what happens without one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaException

from tests.kafka.launcher import JavaKafka, Unavailable, start_kafka
from tests.kafka.reader import create_topics, read_all

ROOT = Path(__file__).parents[2]


async def test_records_of_one_client_are_read_by_the_other(kafka, topic_names):
    """The reader returns what aiokafka produced, whole and each partition in order."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 3})
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, enable_idempotence=True) as producer:
        for number in range(30):
            await producer.send_and_wait(
                topic_names.ticks,
                f"value {number}".encode(),
                b"key",
                partition=number % 3,
                timestamp_ms=1000,
                headers=[("n", b"%d" % number)],
            )
    records = read_all(kafka.bootstrap_servers, topic_names.ticks)
    assert [record.header("n") for record in records] == [
        str(number) for start in range(3) for number in range(start, 30, 3)
    ]
    assert {(record.key, record.timestamp_ms) for record in records} == {(b"key", 1000)}


async def test_an_aborted_transaction_is_not_read(kafka, topic_names):
    """The reader leaves out aborted records unless asked for them, and passes their markers."""
    create_topics(kafka.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic_names.control
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic_names.control, b"aborted", b"key")
        await producer.abort_transaction()
    assert read_all(kafka.bootstrap_servers, topic_names.control) == []
    assert [
        record.value for record in read_all(kafka.bootstrap_servers, topic_names.control, isolation="read_uncommitted")
    ] == [b"aborted"]


def test_unknown_topics_are_not_created(kafka, topic_names):
    """Reading a missing topic is an error and does not create it."""
    for _ in range(2):
        with pytest.raises(KafkaException):
            read_all(kafka.bootstrap_servers, topic_names.ticks, seconds=0.5)


async def test_a_stopped_kafka_comes_back_with_its_records(own_kafka, topic_names):
    """A stopped Kafka starts again at its address with everything it acknowledged."""
    address = own_kafka.bootstrap_servers
    create_topics(address, {topic_names.ticks: 1})
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        await producer.send_and_wait(topic_names.ticks, b"kept")
    own_kafka.stop()
    with pytest.raises(KafkaException):
        read_all(address, topic_names.ticks, seconds=0.5)
    own_kafka.start()
    assert own_kafka.bootstrap_servers == address
    assert [record.value for record in read_all(address, topic_names.ticks)] == [b"kept"]


def test_a_kafka_that_was_given_is_not_used_where_one_is_to_be_stopped(monkeypatch):
    """Without Docker and Java there is no Kafka to stop, and the error names every reason."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("tests.kafka.launcher.DOCKER_SOCKET", "/nowhere/docker.sock")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    with pytest.raises(Unavailable, match=r"KAFKA_BOOTSTRAP_SERVERS.*no Docker engine.*no java"):
        start_kafka()


@pytest.mark.parametrize(("required", "code", "outcome"), [("0", 0, "1 skipped"), ("1", 1, "1 error")])
def test_tests_without_a_kafka_are_left_out_loudly(required, code, outcome):
    """Without Kafka its tests are skipped with a reason, or fail if Kafka is required."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "COV"))}
    run = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{test_unknown_topics_are_not_created.__name__}",
    ]
    environment |= {"PATH": "", "DOCKER_HOST": "unix:///nowhere/docker.sock", "KIS_BOND_REQUIRE_KAFKA": required}
    result = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, outcome in result.stdout) == (code, True), result.stdout
    assert "LEFT OUT" in result.stdout
    assert "no java on the PATH" in result.stdout


@pytest.mark.kafka
def test_three_brokers_survive_the_death_of_one():
    """One of three brokers can be killed and restarted without harm to a replicated topic."""
    try:
        cluster = JavaKafka(size=3)
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        cluster.start()
        create_topics(cluster.bootstrap_servers, {"three": 3})
        cluster.brokers[1].server.kill()
        assert read_all(cluster.bootstrap_servers, "three") == []
        cluster.start()
    finally:
        cluster.close()
