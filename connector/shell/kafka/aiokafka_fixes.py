"""Corrects what aiokafka's clients do differently from what this feed needs.

It is imported for its effect, and written for the pinned version.
"""

import asyncio
import contextlib
import functools
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiokafka.client
import structlog
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer import fetcher
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record import default_records, legacy_records
from aiokafka.record._crecords import default_records as fast_default_records
from aiokafka.record._crecords import legacy_records as fast_legacy_records

from connector.shell.kafka import decompression

NEXT_BROKER_SECONDS: Final = 0.5
BOOTSTRAP: Final = "bootstrap"  # the node id of a client's first connection
# How much of one partition a poll returns at most, so that many small batches cannot add up.
POLL_RECORDS: Final = 10_000
POLL_BYTES: Final = 32 * 2**20
RECORD_BYTES: Final = 500  # what a record takes in memory beside its key, value and headers

log = structlog.get_logger("connector.kafka_client")

# By topic, how many batches were skipped in this run. The process has one such figure, because
# aiokafka's readers do not know to which of our parts they belong.
skipped_batches: Final[Counter[str]] = Counter()

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


class _Batches:
    """The batches of one fetch; a batch that cannot be decompressed is skipped whole."""

    def __init__(self, partition: Any, batches: Any) -> None:
        self._partition = partition
        self._batches = batches

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        return _Batch(self._partition, self._batches.next_batch())


class _Batch:
    """One batch, as aiokafka's own; it has no records if it cannot be decompressed."""

    def __init__(self, partition: Any, batch: Any) -> None:
        self._partition = partition
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except decompression.Undecodable as error:
            skipped_batches[self._partition.topic] += 1
            log.warning(
                "batch_skipped",
                topic=self._partition.topic,
                partition=self._partition.partition,
                first_offset=getattr(self._batch, "base_offset", self._batch.next_offset - 1),
                last_offset=self._batch.next_offset - 1,
                reason=str(error),
            )


class _PartitionRecords(fetcher.PartitionRecords):
    def __init__(self, partition: Any, batches: Any, *rest: Any) -> None:
        super().__init__(partition, _Batches(partition, batches), *rest)  # type: ignore[no-untyped-call]


def _get_all(fetched: Any, max_records: int | None = None) -> list[Any]:
    """Return what one poll gets of a partition; aiokafka's own has no bound on its bytes."""
    if not fetched.check_assignment(fetched._topic_partition) or not fetched.has_more():  # noqa: SLF001 - no public way
        return []
    records: list[Any] = []
    size = 0
    for record in fetched._partition_records:  # noqa: SLF001 - no public way
        records.append(record)
        size += RECORD_BYTES + sum(len(part or b"") for part in (record.key, record.value))
        size += sum(RECORD_BYTES + len(name) + len(value or b"") for name, value in record.headers)
        if len(records) >= (max_records or POLL_RECORDS) or size >= POLL_BYTES:
            fetched._update_position()  # noqa: SLF001 - no public way
            return records
    fetched._update_position()  # noqa: SLF001 - no public way
    fetched._partition_records = None  # noqa: SLF001 - no public way
    return records


async def _no_connection(*_: Any, **__: Any) -> None:
    """Report that a node cannot be reached."""


aiokafka.client.MetadataRequest = _metadata_request  # type: ignore[assignment, attr-defined]  # a factory of the same class
AIOKafkaClient._get_conn = _connect_apart  # type: ignore[assignment, method-assign]  # noqa: SLF001 - no public way
# `_connect_apart` does the work of this lock.
AIOKafkaClient._get_conn_lock = contextlib.nullcontext()  # type: ignore[assignment, method-assign]  # noqa: SLF001 - no public way
AIOKafkaClient._metadata_update = _update_metadata  # type: ignore[method-assign]  # noqa: SLF001 - no public way
AIOKafkaClient.close = _close_for_good  # type: ignore[method-assign]
fetcher.PartitionRecords = _PartitionRecords  # type: ignore[misc]
fetcher.FetchResult.getall = _get_all  # type: ignore[method-assign]
for _records in (default_records, fast_default_records, legacy_records, fast_legacy_records):
    for _codec in ("gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode"):
        if hasattr(_records, _codec):  # Zstandard came with the second record format
            setattr(_records, _codec, getattr(decompression, _codec))
