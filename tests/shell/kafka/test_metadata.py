"""Metadata comes from the first broker that answers, and is about the named topics only."""

import asyncio
from types import SimpleNamespace

import aiokafka.client
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient

from connector.shell.kafka import metadata
from simulator.embedded_kafka import EmbeddedKafka


async def test_a_broker_that_does_not_answer_does_not_delay_metadata(monkeypatch):
    """If two of three brokers are frozen, the third's metadata is in use long before a time-out."""
    asked = []

    async def create(host, *_, **__):
        async def send(request):
            asked.append(host)
            await asyncio.sleep(3600 if host != "healthy" else 0)
            return SimpleNamespace(brokers=["one"])

        return SimpleNamespace(connected=lambda: True, send=send, close=lambda reason=None: asyncio.sleep(0))

    monkeypatch.setattr(aiokafka.client, "create_conn", create)
    monkeypatch.setattr(metadata, "NEXT_BROKER_SECONDS", 0.01)
    monkeypatch.setattr(metadata.random, "shuffle", lambda nodes: nodes.sort(key="healthy".__eq__, reverse=True))
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    known = []
    client.cluster = SimpleNamespace(
        broker_metadata=lambda node: SimpleNamespace(host=node, port=1),
        brokers=lambda: [SimpleNamespace(nodeId=name) for name in ("healthy", "frozen", "frozen too")],
        update_metadata=known.append,
    )
    async with asyncio.timeout(30):
        assert await client._metadata_update(client.cluster, ["ticks"])
    assert asked == ["frozen too", "frozen", "healthy"]
    assert len(known) == 1
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        _, left = await asyncio.wait(left, timeout=30)
    assert not left
    await client.close()


async def test_only_topics_that_are_named_are_asked_for():
    """A client without topics learns of the brokers only, other clients of the topics they name."""
    with EmbeddedKafka({"mine": 2, "foreign": 1}) as kafka:
        client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap_servers)
        await client.bootstrap()
        await client.force_metadata_update()
        assert (len(client.cluster.brokers()), client.cluster.topics()) == (1, set())
        cluster = await metadata.fetch_metadata(client, ["mine", "missing"])
        assert (cluster.topics(), cluster.partitions_for_topic("mine")) == ({"mine"}, {0, 1})
        await client.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        assert len((await admin.describe_cluster())["brokers"]) == 1
        assert await admin.list_topics() == []
        await admin.close()
