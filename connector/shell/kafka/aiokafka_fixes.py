"""Corrects what aiokafka's clients do differently from what this feed needs.

It is imported for its effect, and written for the pinned version.
"""

import asyncio
import contextlib
import functools
import random
from collections import defaultdict
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiokafka.client
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

NEXT_BROKER_SECONDS: Final = 0.5
BOOTSTRAP: Final = "bootstrap"  # the node id of a client's first connection

# aiokafka asks brokers to create each topic it names, and offers no switch. A mistyped setting must
# not create a topic.
_metadata_request: Final = functools.partial(MetadataRequest, allow_auto_topic_creation=False)
_connect: Final[Any] = AIOKafkaClient._get_conn  # noqa: SLF001 - no public way
_close: Final[Any] = AIOKafkaClient.close
# The locks that a client holds while it connects, by node and group of connections.
_connecting: Final[WeakKeyDictionary[Any, defaultdict[Any, asyncio.Lock]]] = WeakKeyDictionary()


async def _connect_apart(
    client: Any, node: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT, **hints: Any
) -> Any:
    """Connect to one node while connections to others are being made.

    aiokafka has one lock for all nodes: a frozen broker, which accepts connections and never
    answers, would delay the connections to healthy ones, and so delivery to their partitions, for a
    request timeout.
    """
    async with _connecting.setdefault(client, defaultdict(asyncio.Lock))[node, group]:
        return await _connect(client, node, group=group, **hints)


async def _update_metadata(client: Any, cluster: Any, topics: Any) -> bool:
    """Update the cluster's metadata from the broker that answers first; return whether one did.

    One broker is asked, and every half second another as well. aiokafka waits a request timeout
    before it asks the next: after a frozen broker, all partitions to be retried would wait that
    long, on healthy brokers as well.
    """
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    if (BOOTSTRAP, ConnectionGroup.DEFAULT) in client._conns:  # noqa: SLF001 - no public way
        nodes.append(BOOTSTRAP)
    random.shuffle(nodes)
    request = _metadata_request(list(topics) if topics else None)
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


async def _close_for_good(client: Any) -> None:
    """Close a client and the connections it is opening; aiokafka's own close leaves those open."""
    client._get_conn = _no_connection  # noqa: SLF001 - no public way
    await _close(client)
    for lock in list(_connecting.get(client, {}).values()):
        async with lock:  # held while a connection is made
            pass
    await _close(client)


async def _no_connection(*_: Any, **__: Any) -> None:
    """Report that a node cannot be reached."""


aiokafka.client.MetadataRequest = _metadata_request  # type: ignore[assignment, attr-defined]  # a factory of the same class
AIOKafkaClient._get_conn = _connect_apart  # type: ignore[assignment, method-assign]  # noqa: SLF001 - no public way
# `_connect_apart` does the work of this lock.
AIOKafkaClient._get_conn_lock = contextlib.nullcontext()  # type: ignore[assignment, method-assign]  # noqa: SLF001 - no public way
AIOKafkaClient._metadata_update = _update_metadata  # type: ignore[method-assign]  # noqa: SLF001 - no public way
AIOKafkaClient.close = _close_for_good  # type: ignore[method-assign]
