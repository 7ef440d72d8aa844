"""Makes aiokafka clients from our settings, and ends them so that nothing of theirs goes on."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine, Hashable
from pathlib import Path
from typing import Any, TypeVar, cast

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from connector.errors import ConfigurationError
from connector.logs import hide
from connector.settings import KafkaSettings
from connector.settings.secret_files import read_secret
from connector.shell.kafka import aiokafka_fixes  # noqa: F401 - every client is to have them

BATCH_BYTES = 128 * 1024
REQUEST_BYTES = 8 * 2**20  # aiokafka's own bound; the topic's max.message.bytes decides
REQUEST_TIMEOUT_MS = 5_000  # a frozen broker holds up what is asked of it for so long
LOOK_UP_TIMEOUT_MS = 2_000  # who leads is asked of one broker after the other
START_SECONDS = 20.0
ABANDON_SECONDS = 2.0

T = TypeVar("T")

log = structlog.get_logger("connector.kafka_client")

_read_before: dict[Hashable, Any] = {}


def client_arguments(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return what every aiokafka client needs to reach the cluster; password and certificate files are read anew.

    Passwords and passphrases are hidden in logs from then on. A file that was spoilt since it was read is told of in the log, and what
    it gave before is used. Raises ConfigurationError naming a file that never could be read.
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
        arguments["ssl_context"] = _ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = kafka.sasl_mechanism
        arguments["sasl_plain_username"] = kafka.sasl_username
        arguments["sasl_plain_password"] = _secret("kafka.sasl_password_file", kafka.sasl_password_file)
    return arguments


def make_producer(kafka: KafkaSettings, client_id: str, first_broker: str | None = None) -> AIOKafkaProducer:
    """Return a producer, not started, that is idempotent, waits for all in-sync replicas and sends a batch when it gets it.

    `first_broker`, as `host:port`, is the one it starts from; without it that is any of the bootstrap servers.
    """
    arguments = client_arguments(kafka, client_id)
    if first_broker:
        arguments["bootstrap_servers"] = first_broker
    return AIOKafkaProducer(
        **arguments,
        acks="all",
        enable_idempotence=True,
        compression_type=None if kafka.compression == "none" else kafka.compression,
        max_batch_size=BATCH_BYTES,
        max_request_size=REQUEST_BYTES,
        linger_ms=0,
    )


async def leaders(kafka: KafkaSettings, client_id: str) -> dict[str, dict[int, str | None]]:
    """Return, for each topic this user may describe, each partition's leader as `host:port`, None while it has none.

    Asked anew of the bootstrap servers each time: aiokafka's own clients never go back to them, so that a cluster whose brokers all
    moved would not be found again. Raises KafkaError, OSError or TimeoutError.
    """
    client = AIOKafkaClient(**client_arguments(kafka, client_id) | {"request_timeout_ms": LOOK_UP_TIMEOUT_MS})
    try:
        async with asyncio.timeout(START_SECONDS):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
    finally:
        await _within(ABANDON_SECONDS, client.close())
    return {
        topic: {
            number: _address(cluster.broker_metadata(cluster.leader_for_partition(TopicPartition(topic, number))))
            for number in cluster.partitions_for_topic(topic) or ()
        }
        for topic in cluster.topics()
    }


def _address(broker: Any) -> str | None:
    if broker is None:
        return None
    return f"[{broker.host}]:{broker.port}" if ":" in broker.host else f"{broker.host}:{broker.port}"


async def start(producer: AIOKafkaProducer) -> None:
    """Start a producer within a deadline. Raises KafkaError, OSError or TimeoutError; the producer is then abandoned."""
    try:
        async with asyncio.timeout(START_SECONDS):
            await producer.start()
    except BaseException:
        await abandon(producer)
        raise


async def abandon(producer: AIOKafkaProducer) -> None:
    """End a producer at once: nothing that waits in it is sent after this returns.

    `stop()` would wait for brokers that may be away, and a `stop()` that was given up leaves a sender that sends later
    (aio-libs/aiokafka#1018). So the sender is cancelled before its connections are closed.
    """
    producer._closed = True  # noqa: SLF001 - no public way; the version is pinned
    task = producer._sender.sender_task if producer._sender else None  # noqa: SLF001 - no public way; the version is pinned
    if task:
        task.cancel()
    await _within(ABANDON_SECONDS, producer.client.close())
    if task:
        # The cancelled sender waits for its requests, which ended with their connections; what still waits is cut off.
        await asyncio.wait([task], timeout=ABANDON_SECONDS)
        task.cancel()
        await asyncio.wait([task], timeout=ABANDON_SECONDS)


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, within a deadline."""
    await _within(ABANDON_SECONDS, consumer.stop())


async def _within(seconds: float, ending: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(seconds):
            await ending


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    files = (kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file, kafka.ssl_key_password_file)

    def load() -> ssl.SSLContext:
        try:
            return create_ssl_context(
                cafile=kafka.ssl_ca_file,
                certfile=kafka.ssl_certificate_file,
                keyfile=kafka.ssl_key_file,
                password=_secret("kafka.ssl_key_password_file", kafka.ssl_key_password_file),
            )
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError([f"kafka.ssl_*: the certificate files could not be loaded: {error}"]) from error

    return _else_as_before(("kafka.ssl_*", *files), load)


def _secret(name: str, path: Path | None) -> str | None:
    if path is None:
        return None

    def read() -> str:
        try:
            text = read_secret(path)
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"{name}: {path} could not be read: {type(error).__name__}"]) from error
        if not text:
            raise ConfigurationError([f"{name}: {path} is empty: write the password into it"])
        hide(text)
        return text

    return _else_as_before((name, path), read)


def _else_as_before(what: Hashable, read: Callable[[], T]) -> T:
    """Return what `read` gives; where files were spoilt meanwhile, what they gave before. Raises ConfigurationError if that is nothing."""
    try:
        _read_before[what] = value = read()
    except ConfigurationError as error:
        if what not in _read_before:
            raise
        log.warning("credentials_unreadable", problems=error.problems, used="what was read before")
        return cast("T", _read_before[what])
    return value
