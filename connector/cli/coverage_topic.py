"""Reads the coverage records of one date, and how far the auditor is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from connector.core.coverage import dates
from connector.core.coverage.date_records import DateRecords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from connector.core.coverage.readable import Value
    from connector.settings import Settings

BEHIND: Final = timedelta(seconds=60)
MOST_BYTES: Final = 2**30  # of the records of one date


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
    from connector.cli import kafka_access
    from connector.shell.kafka import one_topic

    arguments, topics = kafka_access.client_arguments(settings), settings.topics
    latest = DateRecords(trade_date, MOST_BYTES)
    # No record of a date is written before the date begins.
    async for batch in one_topic.records(topics.coverage, arguments, dates.start_ms(trade_date)):
        for record in batch:
            latest.take(record.key, record.value)
    async with one_topic.opened(topics.ticks, arguments, settings.audit.group_id) as (consumer, partitions):
        async with asyncio.timeout(one_topic.PATIENCE_SECONDS):
            is_behind = await _is_behind(consumer, partitions, now_ms)
    return Reading(latest.values, frozenset(latest.unreadable), is_behind)


async def _is_behind(consumer: Any, partitions: Sequence[Any], now_ms: int) -> bool:
    """Return whether the group has not committed past a tick that is older than 60 seconds.

    A broker that looks up no times, as the demo's, says only whether the group has begun.
    """
    ends, begins = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
    before = now_ms - BEHIND // timedelta(milliseconds=1)
    later = await consumer.offsets_for_times(dict.fromkeys(partitions, before))
    first = await consumer.offsets_for_times(dict.fromkeys(partitions, 0))
    for partition in partitions:
        if later[partition] is not None:
            due = later[partition].offset
        elif first[partition] is not None:
            due = ends[partition]
        else:
            due = min(ends[partition], begins[partition] + 1)
        committed = await consumer.committed(partition)
        if due > max(begins[partition], committed or 0):
            return True
    return False
