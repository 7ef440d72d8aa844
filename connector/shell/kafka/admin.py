"""Asks Kafka which topics there are, and creates missing ones."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code

import connector.shell.kafka.metadata  # noqa: F401 - so that no topic is created because it is asked for
from connector.core.printable import printable
from connector.core.topic_plan import CONFIGS, FoundTopic, PlannedTopic
from connector.errors import NotInTime
from connector.logs import peer_text
from connector.shell.kafka.closing import close
from connector.shell.kafka.diagnosis import describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

PATIENCE_SECONDS = 12.0
SESSION_BOUNDS = ("group.min.session.timeout.ms", "group.max.session.timeout.ms")

_NONE, _UNKNOWN_TOPIC, _NOT_PERMITTED, _EXISTS = 0, 3, 29, 36


class TopicAdmin:
    """One connection to Kafka for looking at topics and creating them.

    Inside `connect` every method raises NotInTime if Kafka is out of reach or refuses.
    """

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def connect(cls, arguments: Mapping[str, Any]) -> AsyncIterator[Self]:
        """Connect with the arguments that `client_arguments` returns, and close at the end."""
        client = AIOKafkaAdminClient(**arguments)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client.start()
                yield cls(client)
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotInTime(
                f"Kafka at {arguments['bootstrap_servers']} could not be asked: {_reason(error)}"
            ) from error
        finally:
            await close(client.close)

    async def brokers(self) -> int:
        """Return the number of brokers in the cluster."""
        return len((await self._client.describe_cluster())["brokers"])

    async def find(self, names: Sequence[str]) -> dict[str, FoundTopic]:
        """Return the topics among `names` that exist, by name."""
        topics = await self._client.describe_topics(list(names))
        described = {topic["topic"]: topic for topic in topics if topic["error_code"] == _NONE}
        configs = await self._configs(names)
        return {name: _found(described[name], configs[name]) for name in names if name in described and name in configs}

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the configs of each topic that the broker knows, or {} if we may not see them."""
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(CONFIGS)) for name in names]
        configs = {}
        for response in await self._client.describe_configs(wanted):
            for resource in response.to_object()["resources"]:
                if resource["error_code"] == _UNKNOWN_TOPIC:
                    continue
                if resource["error_code"] not in {_NONE, _NOT_PERMITTED}:
                    raise for_code(resource["error_code"])(resource["error_message"])
                configs[resource["resource_name"]] = {
                    entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]
                }
        return configs

    async def session_bounds(self) -> tuple[float, float]:
        """Return the shortest and the longest session timeout of a group, in seconds."""
        broker = str((await self._client.describe_cluster())["brokers"][0]["node_id"])
        wanted = ConfigResource(ConfigResourceType.BROKER, broker, dict.fromkeys(SESSION_BOUNDS))
        (response,) = await self._client.describe_configs([wanted])
        (resource,) = response.to_object()["resources"]
        if resource["error_code"] != _NONE:
            raise for_code(resource["error_code"])(resource["error_message"])
        found = {entry["config_names"]: int(entry["config_value"]) / 1000 for entry in resource["config_entries"]}
        shortest, longest = (found[name] for name in SESSION_BOUNDS)
        return shortest, longest

    async def create(self, topics: Sequence[PlannedTopic]) -> dict[str, str]:
        """Create topics, and return by name the reason why a topic could not be created."""
        new = [
            NewTopic(topic.name, topic.partitions, topic.replication_factor, topic_configs=dict(topic.configs))
            for topic in topics
        ]
        response: Any = await self._client.create_topics(new)
        return {
            name: f"{for_code(code).__name__} {printable(peer_text(message or ''))}".strip()
            for name, code, message in response.topic_errors
            if code not in {_NONE, _EXISTS}
        }


def _found(topic: Mapping[str, Any], configs: Mapping[str, str]) -> FoundTopic:
    partitions = topic["partitions"]
    return FoundTopic(len(partitions), min((len(each["replicas"]) for each in partitions), default=0), configs)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {PATIENCE_SECONDS:g} s"
    if isinstance(error, IncompatibleBrokerVersion):
        return (
            f"this broker lacks a request that is needed ({describe(error)}). "
            "The demo's embedded broker lacks some: give kis-bond demo a real Kafka with --bootstrap-servers"
        )
    return describe(error)
