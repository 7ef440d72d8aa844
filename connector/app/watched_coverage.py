"""Reads today's coverage for the page, while somebody looks at it.

The auditors write the coverage topic. Nothing of the connector depends on it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.core.coverage import dates
from connector.core.coverage.date_records import DateRecords
from connector.core.coverage.shown import shown_day
from connector.shell.kafka import one_topic
from connector.shell.kafka.waiting import in_turns, pauses, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WATCHED_SECONDS: Final = 60.0  # after the last look, reading goes on for so long
POLL_MS: Final = 500
CHECK_SECONDS: Final = 30.0
MOST_BYTES: Final = 16 * 2**20  # of today's records; 20,000 bonds without holes have 12 MiB
# While it catches up it reads at most 2,500 records a second, which take a tenth of a core. Each
# piece holds up the event loop for some 2 ms.
PIECE: Final = 50
PAUSE_SECONDS: Final = 0.02
SHOW_SECONDS: Final = 1.0  # the least between two times that what is shown is made
FETCH_BYTES: Final = 128 * 1024  # decompressed at once

log = structlog.get_logger("connector.watched_coverage")


class WatchedCoverage:
    """Give `/status` what `look` returns, and let `run` read the topic."""

    def __init__(
        self,
        topic: str,
        client_arguments: Callable[[], Mapping[str, Any]],
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._topic = topic
        self._client_arguments = client_arguments
        self._now_ms = now_ms
        self._looked_at = float("-inf")
        self._is_wanted = asyncio.Event()
        self._records = DateRecords(dates.seoul_date(now_ms()), MOST_BYTES)
        self._is_read = self._has_news = False
        self._written_ms = 0
        self._shown: dict[str, Any] = {}
        self._problem: str | None = None

    def look(self) -> dict[str, Any]:
        """Return `coverage` and `days` of today, and have the topic read for another minute.

        It is empty until the topic was read to its end, and while nobody audits today's ticks.
        """
        self._looked_at = time.monotonic()
        self._is_wanted.set()
        return self._shown

    async def run(self) -> None:
        """Read while somebody looks, until cancelled; pause after each failure."""
        pause = pauses()
        while True:
            await self._is_wanted.wait()
            try:
                await self._read()
            except Exception as error:  # noqa: BLE001 - whatever Kafka's client raises, the connector goes on
                raise_if_cancelled()
                if str(error) != self._problem:
                    log.info("coverage_not_shown", problem=str(error))
                self._problem = str(error)
                await asyncio.sleep(next(pause))
            else:
                pause = pauses()

    async def _read(self) -> None:
        """Read today's records, and follow the topic until nobody looks or the date ends."""
        today = dates.seoul_date(self._now_ms())
        self._records, self._has_news = DateRecords(today, MOST_BYTES), True
        arguments = {**self._client_arguments(), "max_partition_fetch_bytes": FETCH_BYTES}
        async with one_topic.opened(self._topic, arguments) as (consumer, places):
            # No record of a date is written before the date begins.
            await one_topic.seek_to_time(consumer, places, dates.start_ms(today))
            try:
                await self._follow(consumer, places)
            finally:  # at once: to close the client may take seconds
                self._is_read, self._shown = False, {}

    async def _follow(self, consumer: Any, places: Sequence[Any]) -> None:
        ends, today = await one_topic.end_offsets(consumer, places), self._records.trade_date
        show_at, check_at = 0.0, time.monotonic() + CHECK_SECONDS
        while self._is_looked_at() and dates.seoul_date(self._now_ms()) == today:
            batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=PIECE)
            for batch in batches.values():
                self._take(batch)
            self._is_read = self._is_read or await one_topic.has_read(consumer, ends)
            self._problem = None
            if self._is_read and self._has_news and time.monotonic() >= show_at:
                await self._show()
                show_at = time.monotonic() + SHOW_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)
            if time.monotonic() >= check_at:
                # A silent Kafka, or more partitions: a new client is needed.
                await one_topic.end_offsets(consumer, places)
                if len(consumer.partitions_for_topic(self._topic) or ()) != len(places):
                    return
                check_at = time.monotonic() + CHECK_SECONDS

    def _take(self, batch: Sequence[Any]) -> None:
        for record in batch:
            if self._records.take(record.key, record.value) is None:
                continue
            self._has_news = True
            if dates.is_plausible_ms(record.timestamp):
                self._written_ms = max(self._written_ms, record.timestamp)

    async def _show(self) -> None:
        """Make what `look` returns, while other tasks have their turns."""
        self._has_news = False
        if not self._records.values:
            self._shown = {}
            return
        found = await in_turns(shown_day(self._records.trade_date, self._records.values.items()))
        found["coverage"]["written_at"] = dates.rfc3339(self._written_ms)
        self._shown = found

    def _is_looked_at(self) -> bool:
        if time.monotonic() - self._looked_at < WATCHED_SECONDS:
            return True
        self._is_wanted.clear()
        return False
