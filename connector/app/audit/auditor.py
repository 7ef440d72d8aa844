"""Audits the partitions of the tick topic that this process holds, and writes what it finds."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from connector.core.coverage.book import Book, doubt_divided
from connector.core.coverage.dates import latest_date
from connector.core.coverage.facts import Facts
from connector.core.coverage.record import NotACoverageRecord, encode, split_key
from connector.core.coverage.tick_values import UnknownSchema, UnreadableTick
from connector.core.coverage.wishes import Wishes
from connector.shell.kafka.record_writer import Outgoing
from connector.shell.kafka.waiting import pauses, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import date

    from connector.core.coverage.announcement import Announcement
    from connector.core.coverage.dates import IsTradingDay
    from connector.core.coverage.day import Day
    from connector.core.coverage.tick_values import TickValues
    from connector.core.event import Event
    from connector.shell.kafka.record_writer import RecordWriter

ROUND: Final = 500  # records written at once
KEPT_MS: Final = 14 * 86_400_000  # facts that ended earlier explain no hole of which there are events
TIDY_MS: Final = 600_000
LONGEST_VALUE: Final = 2**20  # of a record of the status or event topic

log = structlog.get_logger("connector.auditor")


def now_ms() -> int:
    """Return the present time in ms since 1970."""
    return time.time_ns() // 1_000_000


class CoverageKafka(NamedTuple):
    """How the auditor reaches Kafka, beside the tick topic.

    `read` passes on each record of a partition of the coverage topic, to its present end.
    """

    read: Callable[[int, Callable[[Any], None]], Awaitable[None]]
    coverage: RecordWriter
    events: RecordWriter


class Rules(NamedTuple):
    """How long the bounds of a hole must stand, and on which dates the exchange is open."""

    wait_ms: int
    is_trading_day: IsTradingDay


@dataclass(slots=True)
class Audited:
    """One partition. `next_offset` is the first offset not read yet, None before the first tick.

    `end` is the topic's end as last heard. `is_truncated` is true until the next tick shows the
    first date after ticks that were deleted before they were read. `read_back` has the dates whose
    records were read again because ticks of them came late.
    """

    number: int
    book: Book
    next_offset: int | None = None
    end: int | None = None
    latest_ms: int = 0
    is_truncated: bool = False
    read_back: set[date] = field(default_factory=set)

    @property
    def lag(self) -> int | None:
        """How many offsets are not read yet, None while the end is not known."""
        if self.end is None:
            return None
        return max(0, self.end - (self.next_offset or 0))


class Auditor:
    """Implements `shell/coverage/tick_group.Audit`.

    `partitions` are those of this member. `ticks` and `unreadable` count the records read in this
    run. `problem` says what it waits for, besides Kafka.
    """

    def __init__(
        self,
        values: TickValues,
        ask_schema: Callable[[int], Awaitable[str | None]],
        kafka: CoverageKafka,
        rules: Rules,
    ) -> None:
        self._values = values
        self._ask_schema = ask_schema
        self._kafka = kafka
        self._wait_ms = rules.wait_ms
        self.is_trading_day = rules.is_trading_day
        self._tidied_ms = 0
        self.facts = Facts()
        self.wishes = Wishes()
        self.knows_facts: Callable[[], bool] = lambda: True
        self.on_session_up: Callable[[int], None] = lambda _: None
        self.partitions: dict[int, Audited] = {}
        self.ticks = self.unreadable = self.events_written = 0
        self.problem: str | None = None
        self.recent: list[Event] = []

    async def begin(self, partition: int, committed: int | None, offsets: range) -> None:
        """Restore a partition from its records. Raises KafkaError, OSError and TimeoutError."""
        audited = Audited(partition, Book(self.is_trading_day))
        now = now_ms()
        await self._kafka.read(partition, lambda record: _restore(audited, record, None, now))
        audited.next_offset = committed
        if max(committed or 0, audited.book.next_offset(partition)) > offsets.stop:
            self._note_made_anew(audited)
        elif offsets.start > (committed or 0):
            self._note_deleted(audited, offsets.start)
        self.partitions[partition] = audited

    def end_all(self) -> None:
        """Forget every partition: nothing more is written for them."""
        self.partitions = {}

    def note_ends(self, ends: Mapping[int, int]) -> None:
        """Note where each partition of the topic ends."""
        for number, end in ends.items():
            if number in self.partitions:
                self.partitions[number].end = end

    async def take(self, partition: int, records: Sequence[Any]) -> None:
        """Add the ticks of the records to their days."""
        audited, now = self.partitions[partition], now_ms()
        expected = audited.next_offset
        if expected is not None and records[0].offset < expected:
            self._note_made_anew(audited)
        elif expected is not None and records[0].offset > expected + 1:
            # Only a marker of a transaction takes an offset, and it takes one.
            self._note_deleted(audited, records[0].offset)
        book, last_date = audited.book, latest_date(now)
        for record in records:
            self.ticks += 1
            try:
                tick = await self._read(record)
                if tick.trade_date > last_date:
                    raise UnreadableTick(f"the trade date {tick.trade_date} is yet to come")  # noqa: TRY301
            except UnreadableTick as error:
                self.unreadable += 1
                log.debug("tick_unreadable", partition=partition, offset=record.offset, error=str(error))
                continue
            if audited.is_truncated:
                audited.is_truncated = False
                book.doubt(tick.trade_date, "deleted")
            if book.was_forgotten(tick.isin, tick.trade_date, now) and tick.trade_date not in audited.read_back:
                await self._recall(tick.trade_date)
            book.add(tick, now)
        audited.next_offset = records[-1].offset + 1
        # A tick that Kafka took only without a timestamp has -1.
        stamps = (record.timestamp for record in reversed(records) if record.timestamp >= 0)
        audited.latest_ms = next(stamps, audited.latest_ms)

    async def _read(self, record: Any) -> Any:
        pause = pauses()
        while True:
            try:
                return self._values.read(record.value, record.headers, record.partition, record.offset)
            except UnknownSchema as unknown:
                try:
                    self._values.add(unknown.schema_id, await self._ask_schema(unknown.schema_id))
                    self.problem = None
                except Exception as error:  # noqa: BLE001 - whatever keeps the registry from answering, we wait for it
                    raise_if_cancelled()
                    self.problem = f"the schema with id {unknown.schema_id} is not known: {error}"
                    await asyncio.sleep(next(pause))

    async def _recall(self, trade_date: date) -> None:
        """Read a date that has left memory back from the coverage topic.

        It is read for all our partitions: a bond that moved may have ticks of that date in another.
        """
        now = now_ms()
        for audited in list(self.partitions.values()):
            if trade_date not in audited.read_back:
                await self._kafka.read(audited.number, partial(_restore, audited, only=trade_date, now=now))
                audited.read_back.add(trade_date)

    def _note_made_anew(self, audited: Audited) -> None:
        """Record that the topic was deleted and made again: its offsets began again at 0."""
        log.warning("tick_topic_made_anew", partition=audited.number, read_to=audited.next_offset)
        audited.book.forget_offsets(audited.number)
        audited.next_offset = 0
        self._doubt_unfinished(audited)

    def _note_deleted(self, audited: Audited, first: int) -> None:
        """Record that ticks before `first` were deleted before they were read."""
        log.warning("ticks_deleted_unread", partition=audited.number, first=first, read_to=audited.next_offset)
        self._doubt_unfinished(audited)

    @staticmethod
    def _doubt_unfinished(audited: Audited) -> None:
        audited.is_truncated = True
        for trade_date in {day.trade_date for day in audited.book.days.values() if day.state != "COMPLETE"}:
            audited.book.doubt(trade_date, "deleted")

    async def flush(self) -> dict[int, int]:
        """Write what changed and announce holes; return the offsets that may be committed."""
        offsets = {number: each.next_offset for number, each in self.partitions.items() if each.next_offset is not None}
        now = now_ms()
        doubt_divided([audited.book for audited in self.partitions.values()])
        if self.knows_facts():
            counts = self.facts.partition_counts
            for audited in self.partitions.values():
                if counts.knows_moves():
                    audited.book.doubt_moved(counts)
                audited.book.settle(now, self._wait_ms, self.facts)
        if not await self._write_changed():
            return {}
        if self.knows_facts() and await self._announce(now):
            await self._write_changed()
        if now - self._tidied_ms >= TIDY_MS:
            self._tidy(now)
        return offsets

    def _tidy(self, now: int) -> None:
        self._tidied_ms = now
        self.facts.forget(now - KEPT_MS)
        for audited in self.partitions.values():
            audited.book.forget(now)
            audited.read_back &= {trade_date for _, trade_date in audited.book.days}

    async def _write_changed(self) -> bool:
        """Write the records of changed days; return whether Kafka acknowledged all of them."""
        changed = [(number, day) for number, each in self.partitions.items() for day in each.book.changed()]
        is_complete = True
        for start in range(0, len(changed), ROUND):
            piece = changed[start : start + ROUND]
            records = []
            for number, day in piece:
                key, value, headers = encode(day)
                records.append(Outgoing(key, value, number, headers))
            outcomes: list[Exception | None] = [asyncio.CancelledError()] * len(piece)  # type: ignore[list-item]
            try:
                outcomes = await self._kafka.coverage.write(records)
            finally:
                for (_, day), outcome in zip(piece, outcomes, strict=True):
                    if outcome is not None:
                        day.is_changed = True
            if failure := next(filter(None, outcomes), None):
                is_complete = False
                log.warning("coverage_not_written", cause=type(failure).__name__, error=str(failure))
        return is_complete

    async def _announce(self, now: int) -> bool:
        """Write the events of holes; return whether a record has to say so."""
        found = [each for audited in self.partitions.values() for each in audited.book.announcements(now)]
        is_any = False
        for start in range(0, len(found), ROUND):
            is_any |= await self._announce_piece(found[start : start + ROUND])
        return is_any

    async def _announce_piece(self, piece: Sequence[tuple[Day, Announcement]]) -> bool:
        records, owners = [], []
        for _, announcement in piece:
            for event in announcement.events:
                value = json.dumps(event.to_json(), ensure_ascii=False, separators=(",", ":")).encode()
                records.append(Outgoing((event.instrument or "").encode(), value))
                owners.append(announcement)
        outcomes = await self._kafka.events.write(records) if records else []
        failed = {id(owner) for owner, outcome in zip(owners, outcomes, strict=True) if outcome is not None}
        if failure := next(filter(None, outcomes), None):
            log.warning("gap_events_not_written", cause=type(failure).__name__, error=str(failure))
        for day, announcement in piece:
            if id(announcement) not in failed:
                announcement.acknowledge(day)
                self.events_written += len(announcement.events)
                self.recent = [*self.recent, *announcement.events][-100:]
        return len(failed) < len(piece)

    def take_status(self, record: Any) -> None:
        """Take in a record of the status topic."""
        key = (record.key or b"").decode(errors="replace")
        value = _object(record.value)
        if record.value is None or value is not None:
            self.wishes.record(key, value, self.facts)

    def take_event(self, record: Any) -> None:
        """Take in a record of the event topic."""
        value = _object(record.value)
        if value is None:
            return
        self.facts.event(value)
        if value.get("event") == "session_up" and type(slot := value.get("slot")) is int:
            self.on_session_up(slot)

    def take_letter(self, record: Any) -> None:
        """Take in a record of the dead-letter topic."""
        isin = (record.key or b"").decode(errors="replace")
        received = dict(record.headers).get("received-ns") or b""
        if isin and received.isdigit() and len(received) < 20:
            self.facts.dead_letter(isin, int(received) // 1_000_000)


def _restore(audited: Audited, record: Any, only: date | None, now: int) -> None:
    """Take in a coverage record: those of one date, or all that have not left memory.

    At the start, a tombstone removes what an earlier record said.
    """
    if record.key is None:
        return
    try:
        if record.value is None:
            if only is None:
                audited.book.remove(*split_key(record.key.decode(errors="replace")))
            return
        fields = (record.key, record.value, dict(record.headers), now)
        if only is None:
            audited.book.resume(*fields)
        elif split_key(record.key.decode(errors="replace"))[1] == only:
            audited.book.restore(*fields)
    except NotACoverageRecord as error:
        log.warning("coverage_record_unreadable", offset=record.offset, error=str(error))


def _object(value: bytes | None) -> dict[str, Any] | None:
    if value is None or len(value) > LONGEST_VALUE:
        return None
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
