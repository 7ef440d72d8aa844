"""Reads the coverage records of one date, and how far the auditor is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from connector.core.bonds.isin import has_shape
from connector.core.coverage import dates
from connector.core.coverage.overview import is_older, readable
from connector.errors import NotInTime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from connector.core.coverage.overview import Value
    from connector.settings import Settings

BEHIND: Final = timedelta(seconds=60)
_LARGEST: Final = 2 * 2**20  # bytes of a record
_POLL_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Reading:
    """The records of a date by bond. `unreadable` bonds have a record that is none.

    `is_behind`: whether a tick older than 60 s has not been audited.
    """

    values: Mapping[str, Value]
    unreadable: frozenset[str]
    is_behind: bool


async def read(settings: Settings, trade_date: date, now_ms: int) -> Reading:
    """Read the records of a date. Raises NotInTime."""
    # Imported only here, so that `--help` need not load the Kafka client.
    from aiokafka import AIOKafkaConsumer
    from aiokafka.errors import KafkaError

    from connector.cli import kafka_access
    from connector.shell.kafka.closing import stop

    arguments = kafka_access.client_arguments(settings)
    # In the auditor's group only to ask for its offsets: partitions are assigned, nobody joins.
    consumer: Any = AIOKafkaConsumer(**arguments, group_id=settings.audit.group_id, enable_auto_commit=False)
    try:
        async with asyncio.timeout(kafka_access.PATIENCE_SECONDS):
            await consumer.start()
            values, unreadable = await _records(consumer, settings.topics.coverage, trade_date)
            is_behind = await _is_behind(consumer, settings.topics.ticks, now_ms)
    except (KafkaError, TimeoutError) as error:
        reason = kafka_access.reason(error, "Read")
        raise NotInTime(f"Coverage at {settings.kafka.bootstrap_servers} could not be read: {reason}") from error
    finally:
        await stop(consumer)
    return Reading(values, frozenset(unreadable), is_behind)


async def _partitions(consumer: Any, topic: str) -> list[Any]:
    from aiokafka import TopicPartition

    from connector.shell.kafka.clients import has_topic

    if not await has_topic(consumer, topic):
        raise NotInTime(f"Topic {topic} does not exist or may not be read: run kis-bond topics init.")
    await consumer._client.add_topic(topic)  # noqa: SLF001 - no public way to the client; the version is pinned
    return [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic) or ()]


async def _records(consumer: Any, topic: str, trade_date: date) -> tuple[dict[str, Value], set[str]]:
    """Return the latest record of each bond, and the bonds whose latest record is unreadable."""
    partitions = await _partitions(consumer, topic)
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    # No record of a date is written before the date begins.
    begins = await consumer.offsets_for_times(dict.fromkeys(partitions, dates.start_ms(trade_date)))
    for partition in partitions:
        found = begins[partition]
        consumer.seek(partition, ends[partition] if found is None else found.offset)
    values: dict[str, Value] = {}
    unreadable: set[str] = set()
    while not await _is_at(consumer, ends):
        for batch in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
            for record in batch:
                _take(record, trade_date, values, unreadable)
    return values, unreadable


async def _is_at(consumer: Any, ends: Mapping[Any, int]) -> bool:
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])


def _take(record: Any, trade_date: date, values: dict[str, Value], unreadable: set[str]) -> None:
    isin, _, day = (record.key or b"").decode(errors="replace").partition("/")
    if day != trade_date.isoformat() or not has_shape(isin):
        return
    if record.value is None:
        values.pop(isin, None)
        unreadable.discard(isin)
        return
    value = readable(record.value) if len(record.value) <= _LARGEST else None
    if value is None:
        unreadable.add(isin)
    elif isin not in values or not is_older(value, values[isin]):
        values[isin] = value
        unreadable.discard(isin)


async def _is_behind(consumer: Any, topic: str, now_ms: int) -> bool:
    """Return whether the group has not committed past a tick that is older than 60 seconds."""
    partitions = await _partitions(consumer, topic)
    ends, begins = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
    before = now_ms - BEHIND // timedelta(milliseconds=1)
    later = await consumer.offsets_for_times(dict.fromkeys(partitions, before))
    for partition in partitions:
        due = ends[partition] if later[partition] is None else later[partition].offset
        committed = await consumer.committed(partition)
        if due > max(begins[partition], committed or 0):
            return True
    return False
