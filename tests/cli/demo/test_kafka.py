"""Tests of the Kafka of a demo."""

import json
import sys
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer

from connector import settings as configuration
from connector.cli.demo import kafka as demo_kafka
from connector.cli.kafka_access import read
from connector.cli.topics import find_differences
from connector.core.bonds.isin import is_valid
from connector.core.topic_plan import DEFAULT_PARTITIONS, Sizes, plan
from connector.errors import ConfigurationError
from connector.settings import TopicSettings


def settings_for(address, **variables):
    """Return settings that name a broker."""
    return configuration.load(None, {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": address, **variables})


def test_first_bonds():
    """The first bonds are valid, distinct, the same each time, and without the spare one."""
    bonds = demo_kafka.first_bonds(demo_kafka.MOST_BONDS)
    assert len(set(bonds)) == demo_kafka.MOST_BONDS
    assert all(map(is_valid, [*bonds, demo_kafka.SPARE_ISIN]))
    assert demo_kafka.SPARE_ISIN not in bonds
    assert demo_kafka.first_bonds(1) == bonds[:1] == [demo_kafka.SAMPLE_ISIN]
    assert demo_kafka.first_bonds(12) == bonds[:12]


def test_own_topics_differ_from_run_to_run():
    """The topics of a run share a prefix, and none is a default or another run's topic."""
    first, second = (demo_kafka.own_topics(datetime(2026, 1, 2, 3, 4, 5, us, tzinfo=UTC)) for us in (1, 2))
    names = {*first.values(), *second.values(), *TopicSettings().names().values()}
    assert len(names) == 3 * len(TopicSettings().names())
    assert {name.partition(".")[0] for name in first.values()} == {"demo-20260102-030405-000001"}


def test_a_missing_client_is_a_plain_message(monkeypatch):
    """Without confluent-kafka the message says what to install."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigurationError, match="install the built file with its extra demo"):
        demo_kafka.require_client()


async def test_the_embedded_broker():
    """The embedded broker has every planned topic, and the first list can be read back."""
    with demo_kafka.embedded() as address:
        settings = settings_for(address)
        await demo_kafka.write_first_list(settings, [demo_kafka.SAMPLE_ISIN])
        (record,) = (await read(settings, settings.topics.control)).values()
        async with AIOKafkaProducer(bootstrap_servers=address) as producer:
            for topic in plan(settings.topics.names(), Sizes(DEFAULT_PARTITIONS, None, 1, 1)):
                assert len(await producer.partitions_for(topic.name)) == topic.partitions
    assert record.key == b"demo"
    assert json.loads(record.value)["instruments"] == [demo_kafka.SAMPLE_ISIN]


async def test_topics_on_a_real_kafka_are_those_of_topics_init(kafka, topic_variables):
    """The created topics show no drift."""
    settings = settings_for(kafka.bootstrap_servers, **topic_variables)
    await demo_kafka.create_topics(settings)
    assert await find_differences(settings) == []


@pytest.fixture
def topic_variables():
    """Return the variables that name topics of the test's own."""
    return {f"KIS_BOND_TOPICS__{part.upper()}": name for part, name in demo_kafka.own_topics(datetime.now(UTC)).items()}
