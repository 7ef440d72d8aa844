"""Makes aiokafka clients from our settings."""

import asyncio
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar, cast

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient

import connector.shell.kafka.compression  # noqa: F401 - it changes what producers compress
from connector.errors import ConfigurationError
from connector.settings import KafkaSettings
from connector.shell.kafka.aiokafka_fixes import raise_known_reason
from connector.shell.kafka.closing import abandon, close
from connector.shell.kafka.credential_files import load_context, read_password
from connector.shell.kafka.metadata import fetch_metadata

BATCH_BYTES = 128 * 1024
REQUEST_BYTES = 8 * 2**20  # aiokafka's bound is high, so that the topic's max.message.bytes decides
REQUEST_TIMEOUT_MS = 5_000  # how long a frozen broker delays a request
LOOK_UP_TIMEOUT_MS = 2_000  # short, because we ask the brokers one after the other
START_SECONDS = 20.0

T = TypeVar("T")

log = structlog.get_logger("connector.kafka_client")

# The last good content of each credential file. The whole process shares it. Each new client reads
# the files again, and no client may fail because a file has become unreadable.
_last_good: dict[Hashable, Any] = {}


def client_arguments(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return the arguments of any aiokafka client; read password and certificate files again.

    From then on the logs hide the passwords and passphrases. If a file has become unreadable, its
    last good content is used and the log says so. If a file could never be read, this raises
    ConfigurationError, which names the file.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": client_id,
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": 100,
        "metadata_max_age_ms": 60_000,
    }
    if kafka.security_protocol.endswith("SSL"):
        files = (kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file, kafka.ssl_key_password_file)
        arguments["ssl_context"] = _read_or_last_good(("kafka.ssl_*", *files), lambda: load_context(kafka))
    if kafka.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = kafka.sasl_mechanism
        arguments["sasl_plain_username"] = kafka.sasl_username
        arguments["sasl_plain_password"] = _read_or_last_good(
            ("kafka.sasl_password_file", kafka.sasl_password_file), lambda: read_password(kafka)
        )
    return arguments


class BatchProducer(AIOKafkaProducer):
    """aiokafka's producer, which shields no future of a batch: two callbacks less for each."""

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> Any:
        """Return the future of the batch's acknowledgement.

        If the future is cancelled, the producer must be abandoned.
        """
        waiting, place = self._message_accumulator, TopicPartition(topic, partition)
        is_known = self.client.cluster.leader_for_partition(place) is not None
        if not is_known or waiting._closed or waiting._exception is not None or waiting._batches.get(place):  # noqa: SLF001 - no public way
            return await super().send_batch(batch, topic, partition=partition)  # type: ignore[no-untyped-call]
        return waiting._append_batch(batch, place).future  # noqa: SLF001 - as above


def make_producer(kafka: KafkaSettings, client_id: str, first_broker: str | None = None) -> AIOKafkaProducer:
    """Return a producer that is not started; it is idempotent and waits for all in-sync replicas.

    It sends each batch at once. It connects first to `first_broker` (`host:port`) if one is given,
    otherwise to any bootstrap server.
    """
    arguments = client_arguments(kafka, client_id)
    if first_broker:
        arguments["bootstrap_servers"] = first_broker
    return BatchProducer(  # type: ignore[no-untyped-call]
        **arguments,
        acks="all",
        enable_idempotence=True,
        compression_type=None if kafka.compression == "none" else kafka.compression,
        max_batch_size=BATCH_BYTES,
        max_request_size=REQUEST_BYTES,
        linger_ms=0,
    )


async def leaders(kafka: KafkaSettings, client_id: str, topics: Iterable[str]) -> dict[str, dict[int, str | None]]:
    """Return each partition's leader as `host:port`, or None, for the topics that we may describe.

    Each call asks the bootstrap servers. A lasting aiokafka client never goes back to them, so it
    would not find the cluster again after all brokers moved. Raises KafkaError, OSError and
    TimeoutError.
    """
    client = AIOKafkaClient(**client_arguments(kafka, client_id) | {"request_timeout_ms": LOOK_UP_TIMEOUT_MS})
    try:
        async with asyncio.timeout(START_SECONDS):
            await client.bootstrap()
            cluster = await fetch_metadata(client, topics)
    finally:
        await close(client.close)
    return {
        topic: {
            number: _address(cluster.broker_metadata(cluster.leader_for_partition(TopicPartition(topic, number))))
            for number in cluster.partitions_for_topic(topic) or ()
        }
        for topic in cluster.topics()
    }


async def has_topic(consumer: AIOKafkaConsumer, topic: str) -> bool:
    """Return whether the topic exists and may be described. Raises KafkaError."""
    return topic in (await fetch_metadata(consumer._client, [topic])).topics()  # noqa: SLF001 - no public way


def _address(broker: Any) -> str | None:
    if broker is None:
        return None
    return f"[{broker.host}]:{broker.port}" if ":" in broker.host else f"{broker.host}:{broker.port}"


async def start(producer: AIOKafkaProducer, seconds: float | None = None) -> None:
    """Start a producer within a deadline, or abandon it and raise.

    Raises KafkaError, OSError or TimeoutError.
    """
    try:
        async with asyncio.timeout(seconds or START_SECONDS):
            await producer.start()
    except BaseException as error:
        await abandon(producer)
        if isinstance(error, TimeoutError):
            raise_known_reason(producer.client, error)
        raise


def _read_or_last_good(files: Hashable, read: Callable[[], T]) -> T:
    """Return `read()`, or its last good result if the files can no longer be read.

    Raises ConfigurationError if the files could never be read.
    """
    try:
        _last_good[files] = value = read()
    except ConfigurationError as error:
        if files not in _last_good:
            raise
        log.warning("credentials_unreadable", problems=error.problems, used="what was read before")
        return cast("T", _last_good[files])
    return value
