"""Makes aiokafka clients from our settings, and ends them so that nothing of theirs goes on."""

import asyncio
import contextlib
import functools
import ssl
from typing import Any

import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.metadata import MetadataRequest

from connector.errors import ConfigurationError
from connector.settings import KafkaSettings

# aiokafka asks brokers to create whatever topic it names, and offers no switch: a mistyped setting must not make a topic.
aiokafka.client.MetadataRequest = functools.partial(MetadataRequest, allow_auto_topic_creation=False)  # type: ignore[assignment, attr-defined]  # a factory of the same class

BATCH_BYTES = 128 * 1024
REQUEST_BYTES = 8 * 2**20  # aiokafka's own bound; the topic's max.message.bytes decides
REQUEST_TIMEOUT_MS = 8_000  # a frozen broker holds every new connection up for so long
START_SECONDS = 20.0
ABANDON_SECONDS = 2.0


def client_arguments(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return what every aiokafka client needs to reach the cluster; password and certificate files are read anew.

    Raises ConfigurationError naming a file that cannot be read.
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


def make_producer(kafka: KafkaSettings, client_id: str) -> AIOKafkaProducer:
    """Return a producer, not started, that is idempotent, waits for all in-sync replicas and sends a batch when it gets it."""
    return AIOKafkaProducer(
        **client_arguments(kafka, client_id),
        acks="all",
        enable_idempotence=True,
        compression_type=None if kafka.compression == "none" else kafka.compression,
        max_batch_size=BATCH_BYTES,
        max_request_size=REQUEST_BYTES,
        linger_ms=0,
    )


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
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(ABANDON_SECONDS):
            await producer.client.close()
    if task:
        # The cancelled sender waits for its requests, which ended with their connections; what still waits is cut off.
        await asyncio.wait([task], timeout=ABANDON_SECONDS)
        task.cancel()
        await asyncio.wait([task], timeout=ABANDON_SECONDS)


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, within a deadline."""
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(ABANDON_SECONDS):
            await consumer.stop()


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    try:
        return create_ssl_context(
            cafile=kafka.ssl_ca_file,
            certfile=kafka.ssl_certificate_file,
            keyfile=kafka.ssl_key_file,
            password=_secret("kafka.ssl_key_password_file", kafka.ssl_key_password_file),
        )
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"kafka.ssl_*: the certificate files could not be loaded: {error}"]) from error


def _secret(name: str, path: Any) -> str | None:
    if path is None:
        return None
    try:
        return str(path.read_text(encoding="utf-8")).removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{name}: {path} could not be read: {type(error).__name__}"]) from error
