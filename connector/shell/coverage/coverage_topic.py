"""Reads one partition of the coverage topic to the end it has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from connector.shell.kafka.closing import stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_MS: Final = 300
PIECE: Final = 500  # records between which other tasks run
SILENCE_SECONDS: Final = 30.0


async def read_partition(
    client_arguments: Callable[[], Mapping[str, Any]],
    topic: str,
    partition: int,
    on_record: Callable[[Any], None],
) -> None:
    """Pass each record of the partition on, from its start to its present end.

    Raises KafkaError, OSError and TimeoutError.
    """
    place = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        **client_arguments(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    try:
        await consumer.start()
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        await consumer.seek_to_beginning(place)
        position, heard_at = await consumer.position(place), time.monotonic()
        while position < end:
            for records in (await consumer.getmany(place, timeout_ms=POLL_MS, max_records=PIECE)).values():
                for record in records:
                    on_record(record)
            before, position = position, await consumer.position(place)
            if position != before:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > SILENCE_SECONDS:
                raise TimeoutError(f"{topic}: Kafka answered no fetch for {SILENCE_SECONDS:g} s")
    finally:
        await stop(consumer)
