"""Changes aiokafka's clients where they do not behave as this feed needs.

Importing the module makes the changes. They are written for the pinned version.
"""

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiokafka.client
import structlog
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, KafkaConnectionError, NodeNotReadyError
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.record import default_records, legacy_records
from aiokafka.record._crecords import default_records as fast_default_records
from aiokafka.record._crecords import legacy_records as fast_legacy_records

from connector.shell.kafka import decompression, diagnosis
from connector.shell.tcp import open_transport

# A poll returns at most this much of one partition, so that many small batches cannot add up.
POLL_RECORDS: Final = 10_000
POLL_BYTES: Final = 32 * 2**20
RECORD_BYTES: Final = 500  # what a record takes in memory beside its key, value and headers
SEQUENCE_NUMBERS: Final = 2**31  # by which Kafka counts the records of an idempotent producer, from 0

log = structlog.get_logger("connector.kafka_client")

# The number of batches skipped in this run, by topic. The whole process shares the counts, because
# aiokafka's readers do not know which of our parts they serve.
skipped_batches: Final[Counter[str]] = Counter()

_connect: Final[Any] = AIOKafkaClient._get_conn  # noqa: SLF001 - no public way
_close: Final[Any] = AIOKafkaClient.close
_bootstrap: Final[Any] = AIOKafkaClient.bootstrap
_send: Final[Any] = AIOKafkaClient.send
_create_connection: Final[Any] = aiokafka.client.create_conn  # type: ignore[attr-defined]
_open: Final[Any] = AIOKafkaConnection.connect
_end: Final[Any] = AIOKafkaConnection.close
# Why the last attempt to reach an address failed. The whole process shares the reasons, because
# aiokafka also connects in functions that know no client, and swallows the error there.
_unreachable: Final[dict[tuple[str, int], str]] = {}
# The last connection that each task made while it bootstraps a client.
_bootstrapping: Final[dict[Any, Any]] = {}
# The locks that a client holds while it connects, by node and group of connections.
_connecting: Final[WeakKeyDictionary[Any, defaultdict[Any, asyncio.Lock]]] = WeakKeyDictionary()


class _AnyAddressLoop:
    """The event loop, but it connects to whichever address of a host name answers first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Any, host: str, port: int, *, ssl: Any) -> Any:
        """Connect to the address that answers first."""
        return await open_transport(factory, host, port, ssl)


async def _open_to_any_address(connection: Any) -> Any:
    """Connect to whichever address of the host answers first, as RFC 8305 recommends.

    aiokafka itself would wait a whole request timeout for the first address.
    """
    connection._loop = _AnyAddressLoop(connection._loop)  # noqa: SLF001 - no public way
    return await _open(connection)


def _close_at_once(connection: Any, reason: Any = None, exc: Any = None) -> Any:
    """Close a connection within one turn of the event loop, whatever its peer does.

    With TLS, aiokafka's own `close` waits up to 30 s for the peer's farewell, and aiokafka often
    forgets the connection meanwhile. If the event loop ended first, the socket would stay open. We
    lose nothing: whoever needs an answer has waited for it before.
    """
    if connection._writer is not None:  # noqa: SLF001 - no public way
        connection._writer.transport.abort()  # noqa: SLF001 - as above
    return _end(connection, reason, exc)


async def _create_connection_or_explain(host: str, port: int, **arguments: Any) -> Any:
    """Connect to one broker, or note and raise a sentence that says why this failed."""
    try:
        connection = await _create_connection(host, port, **arguments)
    except Exception as error:  # aiokafka may raise any error if the peer is no broker
        _unreachable[host, port] = reason = await diagnosis.explain(host, port, error, arguments)
        raise diagnosis.Unreachable(reason) from error
    _unreachable.pop((host, port), None)
    diagnosis.forget(host, port)
    task = asyncio.current_task()
    if task in _bootstrapping:
        _bootstrapping[task] = connection
    return connection


async def _bootstrap_or_explain(client: Any) -> None:
    """Connect to the first bootstrap server that answers, or raise why each one failed."""
    try:
        await _bootstrap_or_close(client)
    except KafkaConnectionError as error:
        reasons = [
            _unreachable.get((host, port)) or await diagnosis.explain_no_metadata(host, port, _security(client))
            for host, port, _ in client.hosts
        ]
        raise diagnosis.Unreachable("; ".join(dict.fromkeys(reasons))) from error


async def _bootstrap_or_close(client: Any) -> None:
    """Bootstrap; if that fails, close its connection, which aiokafka leaves open if cancelled."""
    task = asyncio.current_task()
    _bootstrapping[task] = None
    try:
        await _bootstrap(client)
    except BaseException:
        if connection := _bootstrapping[task]:
            connection.close()
        raise
    finally:
        del _bootstrapping[task]


def _security(client: Any) -> dict[str, Any]:
    return {
        "security_protocol": client._security_protocol,  # noqa: SLF001 - no public way
        "ssl_context": client._ssl_context,  # noqa: SLF001 - no public way
    }


async def _send_or_explain(client: Any, node: Any, *request: Any, **options: Any) -> Any:
    """Send a request to a node, or raise why the node cannot be reached."""
    try:
        return await _send(client, node, *request, **options)
    except NodeNotReadyError as error:
        _raise_known_reason(client, [client.cluster.broker_metadata(node)], error)
        raise


def raise_known_reason(client: Any, error: Exception) -> None:
    """Raise the known reason why brokers of the client's cluster cannot be reached, if any."""
    _raise_known_reason(client, client.cluster.brokers(), error)


def _raise_known_reason(client: Any, brokers: Iterable[Any], error: Exception) -> None:
    asked = {(host, port) for host, port, _ in client.hosts}
    if reason := diagnosis.explain_announced(filter(None, brokers), asked, _unreachable):
        raise diagnosis.Unreachable(reason) from error


async def _connect_apart(
    client: Any, node: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT, **hints: Any
) -> Any:
    """Connect to one node while connections to others are being made.

    aiokafka has one lock for all nodes. So a frozen broker, which accepts connections and never
    answers, would delay connections to healthy brokers for a request timeout. Delivery to the
    partitions of the healthy brokers would wait as well.
    """
    async with _connecting.setdefault(client, defaultdict(asyncio.Lock))[node, group]:
        connection = await _connect(client, node, group=group, **hints)
        if connection is not None and client._get_conn is _no_connection:  # noqa: SLF001 - closed meanwhile
            connection.close()
            return None
        return connection


async def _close_for_good(client: Any) -> None:
    """Close a client, and let nothing that still runs open another connection.

    aiokafka's own `close` would leave the connections open that are being made meanwhile.
    """
    client._get_conn = _no_connection  # noqa: SLF001 - no public way
    await _close(client)


class _Batches:
    """The batches of one fetch; a batch that cannot be decoded does not hide the later ones."""

    def __init__(self, partition: Any, batches: Any) -> None:
        self._partition = partition
        self._batches = batches

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        return _Batch(self._partition, self._batches.next_batch())


class _Batch:
    """One batch of aiokafka, which ends before the first record that cannot be decoded.

    Fetching the batch again would not help, because its checksum is right: the producer wrote it
    this way.
    """

    def __init__(self, partition: Any, batch: Any) -> None:
        self._partition = partition
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        first = getattr(self._batch, "base_offset", self._batch.next_offset - 1)
        try:
            for record in self._batch:
                first = record.offset + 1
                yield record
        except (decompression.Undecodable, CorruptRecordException, UnicodeDecodeError) as error:
            skipped_batches[self._partition.topic] += 1
            log.warning(
                "batch_skipped",
                topic=self._partition.topic,
                partition=self._partition.partition,
                first_offset=first,
                last_offset=self._batch.next_offset - 1,
                reason=str(error),
            )


class _PartitionRecords(fetcher.PartitionRecords):
    def __init__(self, partition: Any, batches: Any, *rest: Any) -> None:
        super().__init__(partition, _Batches(partition, batches), *rest)  # type: ignore[no-untyped-call]


def _get_all(fetched: Any, max_records: int | None = None) -> list[Any]:
    """Return the records that one poll gets from a partition, up to about POLL_BYTES.

    aiokafka's own `getall` has no bound on the bytes.
    """
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


def _count_records(numbers: Any, partition: Any, count: int) -> None:
    """Move a partition's sequence number by a number of records; 0 follows the highest one.

    aiokafka would go on with negative numbers, and Kafka would refuse every later record.
    Source: `DefaultRecordBatch.incrementSequence` of Apache Kafka.
    """
    held = numbers._sequence_numbers  # noqa: SLF001 - no public way
    held[partition] = (held[partition] + count) % SEQUENCE_NUMBERS


async def _no_connection(*_: Any, **__: Any) -> None:
    """Return None, which tells aiokafka that the node cannot be reached."""


AIOKafkaClient._get_conn = _connect_apart  # type: ignore[assignment, method-assign]  # noqa: SLF001 - no public way
# `_connect_apart` does the work of this lock.
AIOKafkaClient._get_conn_lock = contextlib.nullcontext()  # type: ignore[assignment, method-assign]  # noqa: SLF001 - no public way
aiokafka.client.create_conn = _create_connection_or_explain  # type: ignore[attr-defined]
AIOKafkaConnection.connect = _open_to_any_address  # type: ignore[method-assign]
AIOKafkaConnection.close = _close_at_once  # type: ignore[method-assign]
AIOKafkaClient.bootstrap = _bootstrap_or_explain  # type: ignore[method-assign]
AIOKafkaClient.send = _send_or_explain  # type: ignore[assignment, method-assign]
AIOKafkaClient.close = _close_for_good  # type: ignore[method-assign]
TransactionManager.increment_sequence_number = _count_records  # type: ignore[assignment, method-assign]
fetcher.PartitionRecords = _PartitionRecords  # type: ignore[misc]
fetcher.FetchResult.getall = _get_all  # type: ignore[method-assign]
for _records in (default_records, fast_default_records, legacy_records, fast_legacy_records):
    for _codec in ("gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode"):
        if hasattr(_records, _codec):  # Zstandard came with the second record format
            setattr(_records, _codec, getattr(decompression, _codec))
