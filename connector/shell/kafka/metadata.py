"""Asks the brokers about the topics that are named, and about no others.

The answer about all topics of a cluster of some thousand partitions would hold the event loop for
tens of milliseconds. Importing the module changes aiokafka, of which the pinned version is meant.
"""

import asyncio
import functools
import random
from collections.abc import Iterable
from typing import Any, Final

import aiokafka.admin.client
import aiokafka.client
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from connector.shell.kafka.aiokafka_fixes import raise_known_reason

NEXT_BROKER_SECONDS: Final = 0.5
BOOTSTRAP: Final = "bootstrap"  # the node id of a client's first connection

# aiokafka asks brokers to create each topic it names, and offers no switch. A mistyped setting must
# not create a topic.
_metadata_request: Final = functools.partial(MetadataRequest, allow_auto_topic_creation=False)


async def fetch_metadata(client: Any, topics: Iterable[str]) -> ClusterMetadata:
    """Return the brokers and those of the topics that exist and may be described.

    Raises KafkaError, with the reason if no broker can be reached.
    """
    cluster = ClusterMetadata()
    cluster.need_all_topic_metadata = True  # aiokafka logs no error for a missing topic
    if not await client._metadata_update(cluster, topics):  # noqa: SLF001 - no public way
        error = KafkaError("Unable to get cluster metadata over all known brokers")
        raise_known_reason(client, error)
        raise error
    return cluster


def _metadata_request_of(topics: Iterable[str] | None) -> MetadataRequest:
    """Return a request for the brokers and these topics, where None would be all topics."""
    return _metadata_request(list(topics or ()))


async def _update_metadata(client: Any, cluster: Any, topics: Any) -> bool:
    """Update the cluster's metadata from the first broker that answers; return whether one did.

    We ask one broker, and another one every half second until one answers. aiokafka itself waits a
    whole request timeout before it asks the next broker. So one frozen broker would delay all
    retries for that time, even those to healthy brokers. Without topics we ask for the brokers
    only, where aiokafka itself would ask for all topics of the cluster.
    """
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    if (BOOTSTRAP, ConnectionGroup.DEFAULT) in client._conns:  # noqa: SLF001 - no public way
        nodes.append(BOOTSTRAP)
    random.shuffle(nodes)
    request = _metadata_request(list(topics or ()))
    asking: set[asyncio.Task[Any]] = set()
    try:
        while nodes or asking:
            if nodes:
                asking.add(asyncio.create_task(_ask(client, nodes.pop(), request)))
            done, asking = await asyncio.wait(
                asking, timeout=NEXT_BROKER_SECONDS if nodes else None, return_when=asyncio.FIRST_COMPLETED
            )
            for answer in filter(None, (task.result() for task in done)):
                if not answer.brokers:  # the cluster is still starting
                    return False
                cluster.update_metadata(answer)
                if client.cluster.brokers():
                    first = client._conns.pop((BOOTSTRAP, ConnectionGroup.DEFAULT), None)  # noqa: SLF001 - no public way
                    if first:
                        first.close()
                return True
    finally:
        for task in asking:
            task.cancel()
    cluster.failed_update(None)
    return False


async def _ask(client: Any, node: Any, request: Any) -> Any:
    """Return one broker's answer, or None."""
    try:
        connection = await client._get_conn(node)  # noqa: SLF001 - no public way
        return connection and await connection.send(request)
    except (KafkaError, TimeoutError):
        return None


aiokafka.client.MetadataRequest = _metadata_request  # type: ignore[assignment, attr-defined]  # a factory of the same class
aiokafka.admin.client.MetadataRequest = _metadata_request_of  # type: ignore[assignment, attr-defined]  # as above
AIOKafkaClient._metadata_update = _update_metadata  # type: ignore[method-assign]  # noqa: SLF001 - no public way
