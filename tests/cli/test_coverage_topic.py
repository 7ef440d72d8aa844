"""Tests of reading coverage from a real Kafka."""

import json
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from connector.cli import coverage_topic
from connector.errors import NotInTime
from connector.settings import load
from simulator.embedded_kafka import EmbeddedKafka
from tests.cli.coverage_records import DAY, A, B, record
from tests.kafka.reader import QUIET, create_topics

NOW = round(time.time() * 1000)


@pytest.fixture
def topics(kafka, topic_names):
    """Create the topics of ticks and coverage with two partitions."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 2, topic_names.coverage: 2})
    return topic_names


@pytest.fixture
def settings(variables):
    """Return the settings that name the test's topics, with a group of the test's own."""
    group = {"KIS_BOND_AUDIT__GROUP_ID": variables["TOPICS__TICKS"]}
    return load(None, {f"KIS_BOND_{name}": value for name, value in variables.items()} | group)


def commit(kafka, group, topic, partition, offset):
    """Commit an offset as the auditor does, through another client."""
    consumer = Consumer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    consumer.close()


async def test_the_latest_record_of_each_bond_is_read(settings, topics, produce):
    """Other dates, foreign keys and records with a lower offset are left out."""
    for key, value in (
        (f"{A}/{DAY}", record(ticks=1, offset=5)),
        (f"{A}/{DAY}", record(ticks=2, offset=9)),
        (f"{A}/{DAY}", record(ticks=3, offset=7)),
        (f"{A}/2026-09-10", record(ticks=4)),
        (f"{B}/{DAY}", {"state": "FINE"}),
        ("nonsense", record()),
        (f"\x1b[31m/{DAY}", record()),
    ):
        produce(topics.coverage, key, json.dumps(value).encode())
    found = await coverage_topic.read(settings, DAY, NOW)
    assert {isin: value["ticks"] for isin, value in found.values.items()} == {A: 2}
    assert (found.unreadable, found.is_behind) == ({B}, False)


async def test_records_are_deleted_by_tombstones(settings, topics, produce):
    """A record that somebody removed is gone."""
    produce(topics.coverage, f"{A}/{DAY}", json.dumps(record()).encode())
    produce(topics.coverage, f"{A}/{DAY}", None)
    assert (await coverage_topic.read(settings, DAY, NOW)).values == {}


async def test_an_auditor_that_has_not_read_an_old_tick_is_behind(settings, topics, produce, kafka):
    """It may be a minute behind, and not more."""
    produce(topics.ticks, A, b"tick")
    partition = next(number for number in (0, 1) if kafka_end(kafka, topics.ticks, number))
    soon, later = (round((time.time() + seconds) * 1000) for seconds in (50, 70))
    assert not (await coverage_topic.read(settings, DAY, soon)).is_behind
    assert (await coverage_topic.read(settings, DAY, later)).is_behind
    commit(kafka, topics.ticks, topics.ticks, partition, 1)
    assert not (await coverage_topic.read(settings, DAY, later)).is_behind


async def test_the_demos_broker_says_whether_the_auditor_has_begun():
    """It looks up no times, so ticks of the last minute do not count as late."""
    with EmbeddedKafka({"bond.ticks": 1, "bond.coverage": 1}) as broker:
        settings = load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers})
        producer = Producer(QUIET | {"bootstrap.servers": broker.bootstrap_servers})
        for _ in range(2):
            producer.produce("bond.ticks", b"tick", A)
        producer.flush(20)
        assert (await coverage_topic.read(settings, DAY, NOW)).is_behind
        commit(broker, settings.audit.group_id, "bond.ticks", 0, 1)
        assert not (await coverage_topic.read(settings, DAY, NOW)).is_behind


def kafka_end(kafka, topic, partition):
    """Return a partition's end offset."""
    consumer = Consumer(QUIET | {"bootstrap.servers": kafka.bootstrap_servers, "group.id": "unused"})
    _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
    consumer.close()
    return end


async def test_a_missing_topic_is_named(settings, kafka):
    """The message says what to do."""
    with pytest.raises(NotInTime, match="does not exist or may not be read: run kis-bond topics init"):
        await coverage_topic.read(settings, DAY, NOW)
