"""Makes aiokafka clients from our settings."""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient

import connector.shell.kafka.compression  # noqa: F401 - it changes what producers compress
from connector.settings import KafkaSettings
from connector.shell.kafka.aiokafka_fixes import raise_known_reason
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.closing import abandon, close
from connector.shell.kafka.metadata import fetch_metadata

BATCH_BYTES = 128 * 1024
REQUEST_BYTES = 8 * 2**20  # aiokafka's bound is high, so that the topic's max.message.bytes decides
LOOK_UP_TIMEOUT_MS = 2_000  # short, because we ask the brokers one after the other
START_SECONDS = 20.0


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
