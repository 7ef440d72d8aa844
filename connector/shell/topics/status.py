"""Keeps the status topic equal to the latest status records, writing only what differs; the latest wish wins, so nothing queues up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import structlog
from aiokafka.errors import MessageSizeTooLargeError

from connector.core import record_keys, status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROUND: Final = 500
RETRY_MIN_SECONDS: Final = 0.5
RETRY_MAX_SECONDS: Final = 15
KINDS: Final = (record_keys.INSTRUMENT, record_keys.LIST, record_keys.SLOT)
WRITER: Final = "writer"  # the header that tells our own records from those of other replicas

log = structlog.get_logger("connector.status_topic")


class Writer(Protocol):
    """What writes a batch and says of each record None or what went wrong; shell/kafka/record_writer.py."""

    async def write(self, records: Sequence[Any]) -> list[Exception | None]:
        """Write the batch in order."""

    async def close(self) -> None:
        """Let go of Kafka."""


class StatusRecord(NamedTuple):
    """Key and value as they stand in the topic; `value` None is a tombstone."""

    key: bytes
    value: bytes | None


class StatusTopic:
    """Writes this replica's part of the topic; `problem` is why nothing is written at present.

    It begins once `known` said what the topic holds. `name` is what our records carry in their header `writer`.
    """

    def __init__(self, writer: Writer, name: bytes = b"") -> None:
        self._writer = writer
        self._name = name
        self._is_ours: Callable[[str], bool] = _every
        self._wish: dict[str, bytes] | None = None
        self._encoded: dict[str, tuple[status.Record, bytes]] = {}
        # None: a write that failed may have been done or not, so the key has to be written again.
        self._written: dict[str, bytes | None] = {}
        self._refused: dict[str, bytes] = {}
        self._known = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_settled = asyncio.Event()
        self.problem: str | None = None

    def known(self, records: Sequence[StatusRecord | Any]) -> dict[str, status.Record]:
        """Take in what the topic was read to hold, oldest first, and return its readable records by key."""
        held: dict[str, bytes] = {}
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            held.pop(key, None)
            if record.value is not None:
                held[key] = record.value
        self._written = {key: value for key, value in held.items() if key.startswith(KINDS)}
        self._known.set()
        self._changed.set()
        return self.held()

    def held(self) -> dict[str, status.Record]:
        """Return the readable records that the topic is known to hold, by key."""
        readable = {key: status.decode(value) for key, value in self._written.items() if value is not None}
        return {key: record for key, record in readable.items() if record is not None}

    def follow(self, records: Sequence[Any]) -> dict[str, status.Record | None]:
        """Take in what other replicas wrote since, and return it by key, None for a tombstone.

        What of it is ours, from before they knew, is written over.
        """
        theirs: dict[str, status.Record | None] = {}
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            if not key.startswith(KINDS) or (WRITER, self._name) in map(tuple, record.headers):
                continue
            if record.value is None:
                self._written.pop(key, None)
            else:
                self._written[key] = record.value
            theirs[key] = None if record.value is None else status.decode(record.value)
        if theirs:
            self._changed.set()
        return theirs

    def publish(self, records: Mapping[str, status.Record], is_ours: Callable[[str], bool] | None = None) -> None:
        """Wish for our part of the topic to hold exactly `records`; what it holds beside them gets tombstones. Never waits.

        `is_ours` is asked again before each round, so that a right that ended meanwhile is not used.
        """
        self._is_ours = is_ours or _every
        before = self._encoded
        # Of thousands of records few differ from one round to the next, and encoding is what takes time.
        self._encoded = {
            key: known
            if (known := before.get(key)) is not None and known[0] == record
            else (record, status.encode(record))
            for key, record in records.items()
            if self._is_ours(key)
        }
        self._wish = {key: value for key, (_, value) in self._encoded.items()}
        self._is_settled.clear()
        self._changed.set()

    async def settle(self, seconds: float) -> bool:
        """Wait until the latest wish is acknowledged, for `seconds` at most, and tell whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_settled.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Write until cancelled; a failed round is tried again after a pause that doubles up to 15 s."""
        try:
            await self._write_on()
        finally:
            await self._writer.close()

    async def _write_on(self) -> None:
        await self._known.wait()
        pause: float = RETRY_MIN_SECONDS
        while True:
            await self._changed.wait()
            self._changed.clear()
            while differing := self.differing():
                failure = await self._round(differing[:ROUND])
                if failure is None:
                    pause, self.problem = RETRY_MIN_SECONDS, None
                    continue
                if self.problem is None:
                    log.warning("status_not_written", error=repr(failure))
                self.problem = f"the status topic could not be written: {failure!r}"
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_MAX_SECONDS)
            if self._wish is not None:
                self._is_settled.set()

    def differing(self) -> list[StatusRecord]:
        """Return what has to be written for the topic to equal the wish: records, then tombstones."""
        if self._wish is None:
            return []
        new = [
            StatusRecord(key.encode(errors="replace"), value)
            for key, value in self._wish.items()
            if self._written.get(key) != value and self._refused.get(key) != value and self._is_ours(key)
        ]
        gone = [key for key in self._written if key not in self._wish and self._is_ours(key)]
        return new + [StatusRecord(key.encode(errors="replace"), None) for key in gone]

    async def _round(self, batch: Sequence[StatusRecord]) -> Exception | None:
        try:
            outcomes = await self._writer.write(batch)
        except Exception as error:  # noqa: BLE001 - nothing of Kafka's may end the connector; what it was is said
            outcomes = [error] * len(batch)
        failure: Exception | None = None
        for record, outcome in zip(batch, outcomes, strict=True):
            failure = self._note(record, outcome) or failure
        return failure

    def _note(self, record: StatusRecord, outcome: Exception | None) -> Exception | None:
        """Note one record's outcome; return the failure if it may pass."""
        key = record.key.decode()
        if isinstance(outcome, MessageSizeTooLargeError) and record.value is not None:
            log.error("status_record_too_large", key=key, bytes=len(record.value))
            self._refused[key] = record.value
            return None
        if outcome is not None:
            self._written[key] = None
            return outcome
        self._refused.pop(key, None)
        if record.value is None:
            self._written.pop(key, None)
        else:
            self._written[key] = record.value
        return None


def _every(_: str) -> bool:
    return True
