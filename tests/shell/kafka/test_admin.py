"""Looking at topics and creating them on a real Kafka."""

from types import SimpleNamespace

import pytest

from connector.core.topic_plan import FoundTopic, Sizes, plan
from connector.errors import NotInTime
from connector.shell.kafka.admin import TopicAdmin
from simulator.embedded_kafka import EmbeddedKafka

SIZES = Sizes(partitions=2, slots=None, replication_factor=1, min_insync_replicas=1)


def names(topic_names):
    """Return the names by part."""
    return {part: getattr(topic_names, part) for part in ("ticks", "control")}


async def test_created_topics_are_found(kafka, topic_names):
    """Topics are found once they are created, as planned."""
    planned = plan(names(topic_names), SIZES)
    wanted = [topic.name for topic in planned]
    async with TopicAdmin.connect({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        assert await admin.brokers() >= 1
        assert await admin.find(wanted) == {}
        assert await admin.create(planned) == {}
        assert await admin.create(planned) == {}, "a topic that exists is no failure"
    async with TopicAdmin.connect({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        found = await admin.find(wanted)
    for topic in planned:
        assert (found[topic.name].partitions, found[topic.name].replication_factor) == (topic.partitions, 1)
        assert topic.configs.items() <= found[topic.name].configs.items()


async def test_refusals_are_returned_by_topic(kafka, topic_names):
    """A topic that Kafka does not create is returned with the reason."""
    planned = plan(
        {"ticks": topic_names.ticks}, Sizes(partitions=1, slots=None, replication_factor=99, min_insync_replicas=1)
    )
    async with TopicAdmin.connect({"bootstrap_servers": kafka.bootstrap_servers}) as admin:
        assert "InvalidReplicationFactorError" in (await admin.create(planned))[topic_names.ticks]


class Forbidding:
    """A client of a user who may see the topic, but not its configuration."""

    async def describe_topics(self, _):
        return [{"topic": "t", "error_code": 0, "partitions": [{"replicas": [1, 2]}]}]

    async def describe_configs(self, _):
        entry = {"error_code": 29, "error_message": "", "resource_name": "t", "config_entries": []}
        return [SimpleNamespace(to_object=lambda: {"resources": [entry]})]


async def test_a_topic_with_a_hidden_configuration_is_found():
    """A topic is found even without the right to see its configuration."""
    assert await TopicAdmin(Forbidding()).find(["t"]) == {"t": FoundTopic(1, 2, {})}


async def test_a_broker_that_lacks_a_request():
    """The error says that the broker lacks a request, and how a demo gets a broker that has it."""
    with (
        EmbeddedKafka({"t": 1}) as broker,
        pytest.raises(NotInTime, match=r"lacks a request.*DescribeConfigs.*--bootstrap-servers"),
    ):
        async with TopicAdmin.connect({"bootstrap_servers": broker.bootstrap_servers}) as admin:
            await admin.find(["t"])


async def test_kafka_away():
    """The error names the address of a Kafka out of reach."""
    with pytest.raises(NotInTime, match=r"Kafka at 127\.0\.0\.1:1 could not be asked: "):
        async with TopicAdmin.connect({"bootstrap_servers": "127.0.0.1:1"}):
            pass
