"""Keeps the status topic equal to the latest status records, and writes only what differs.

Only the latest wish counts, so no records queue up.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka.errors import MessageSizeTooLargeError

from connector.core import record_keys, status
from connector.shell.kafka.diagnosis import describe
from connector.shell.kafka.record_writer import Outgoing
from connector.shell.kafka.waiting import pauses, within

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from connector.shell.kafka.record_writer import RecordWriter

ROUND: Final = 500
# The most keys that are compared, and about the most bytes that are encoded, between two writes.
# More would hold up the event loop.
COMPARED: Final = 1000
ROUND_BYTES: Final = 256 * 1024
KINDS: Final = (record_keys.INSTRUMENT, record_keys.LIST, record_keys.SLOT)
WRITER: Final = "writer"  # the header that tells our own records from those of other replicas

log = structlog.get_logger("connector.status_topic")


class StatusTopic:
    """Writes this replica's part of the status topic.

    It writes nothing before `restore` gets the topic's content. `problem` says why nothing is
    written at present. `name` is the value of the header `writer` in our records. `on_too_large`
    gets the key of a record that Kafka refuses as too large, the record, and the one in the topic.
    """

    def __init__(
        self,
        writer: RecordWriter,
        name: bytes = b"",
        on_too_large: Callable[[str, status.Record, status.Record | None], None] = lambda *_: None,
    ) -> None:
        self._writer = writer
        self._name = name
        self._on_too_large = on_too_large
        self._is_ours: Callable[[str], bool] = _none
        self._wish: dict[str, status.Record] | None = None
        # The keys whose wish or content changed, in order.
        self._changed_keys: dict[str, None] = {}
        # The values that the topic lacks, by key. None is a tombstone.
        self._unwritten: dict[str, bytes | None] = {}
        # The values in the topic, by key. After a failed write the value is unknown, so it is None
        # and the key is written again.
        self._content: dict[str, bytes | None] = {}
        # The keys that we wrote after we last read a record of another replica. Their content is as
        # we wrote it. Of other keys, only reading tells which record is the last one.
        self._written: set[str] = set()
        self._decoded: dict[str, status.Record] = {}
        self._refused: dict[str, bytes] = {}
        self._is_restored = asyncio.Event()
        self._changed = asyncio.Event()
        self._is_written = asyncio.Event()
        self._is_hurried = asyncio.Event()
        self.problem: str | None = None

    def restore(self, records: Sequence[Any]) -> Generator[None, None, dict[str, status.Record]]:
        """Use a complete reading of the topic, oldest record first; return `readable()`.

        A key that the reading lacks may have been written since, or the topic may have been created
        again, so its content counts as unknown.
        """
        latest = {_key(record): record for record in records}
        decoded: dict[str, status.Record | None] = {}
        for key, record in latest.items():
            decoded[key] = None if record.value is None else status.decode(record.value)
            yield
        self._content, self._decoded = dict.fromkeys(self._content), {}
        self._written.clear()
        for record in records:
            self._set(key := _key(record), record.value, decoded[key])
        self._changed_keys |= dict.fromkeys((*self._content, *(self._wish or ())))
        self._is_restored.set()
        self._changed.set()
        return self.readable()

    def readable(self) -> dict[str, status.Record]:
        """Return a copy of `content`."""
        return dict(self._decoded)

    @property
    def content(self) -> Mapping[str, status.Record]:
        """The topic's records that can be decoded, by key, as far as we know them."""
        return self._decoded

    def follow(self, records: Sequence[Any]) -> tuple[dict[str, status.Record | None], dict[str, status.Record | None]]:
        """Note the records of other replicas, and return them by key; None is a tombstone.

        The second result leaves out the records that were ours to write. They are written again
        after the next `publish`. It has a record of our own if another replica wrote the same key
        shortly before, so that the last record of the topic counts for both.
        """
        theirs: dict[str, status.Record | None] = {}
        accepted: dict[str, status.Record | None] = {}
        for record in records:
            key = _key(record)
            is_own = (WRITER, self._name) in map(tuple, record.headers)
            if not key.startswith(KINDS) or (is_own and key in self._written):
                if record.value is None and key not in self._content:
                    self._written.discard(key)
                continue
            was_ours = self._is_ours(key)
            found = None if record.value is None else status.decode(record.value)
            self._set(key, record.value, found)
            if not is_own:
                self._written.discard(key)
                theirs[key] = found
            if was_ours and self._is_ours(key):
                accepted.pop(key, None)
            else:
                accepted[key] = found
            self._changed_keys[key] = None
        return theirs, accepted

    def _set(self, key: str, value: bytes | None, record: status.Record | None) -> None:
        """Note what the topic holds under a key, and move the key to the end, as in the topic."""
        self._content.pop(key, None)
        self._decoded.pop(key, None)
        if value is not None and key.startswith(KINDS):
            self._content[key] = value
            if record is not None:
                self._decoded[key] = record

    def publish(self, records: Mapping[str, status.Record], is_ours: Callable[[str], bool] | None = None) -> None:
        """Wish that our part of the topic holds exactly `records`; other keys get tombstones.

        This does not wait for the writing. `is_ours` is asked again before each round, because the
        right to write may end. A record that is the same object as before counts as unchanged.
        """
        self._is_ours = is_ours or _every
        before = self._wish or {}
        self._changed_keys |= dict.fromkeys(key for key, record in records.items() if before.get(key) is not record)
        self._changed_keys |= dict.fromkeys(key for key in before if key not in records)
        self._wish = dict(records)
        self._is_written.clear()
        self._changed.set()

    async def wait_until_written(self, seconds: float) -> bool:
        """Wait at most `seconds` until the latest wish is acknowledged; return whether it is.

        A pause after a failure ends at once, because a stop may not last as long.
        """
        self._is_hurried.set()
        return await within(self._is_written, seconds)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._is_restored.wait()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._write_differing()
                if self._wish is not None:
                    self._is_written.set()
        finally:
            await self._writer.close()

    async def _write_differing(self) -> None:
        pause = pauses()
        while self._wish is not None:
            if not (differing := self.differing()):
                if not self._changed_keys:
                    return
                await asyncio.sleep(0)
            elif failure := await self._write_round(differing):
                if self.problem is None:
                    log.warning("status_not_written", error=repr(failure))
                self.problem = f"the status topic could not be written: {describe(failure)}"
                await within(self._is_hurried, next(pause))
                self._is_hurried.clear()
            else:
                self.problem = None
                pause = pauses()

    def differing(self) -> list[Outgoing]:
        """Return the next writes that make the topic equal the wish: records, then tombstones.

        The caller writes them at once.
        """
        self._compare()
        new: list[Outgoing] = []
        gone: list[Outgoing] = []
        size = 0
        for key, value in self._unwritten.items():
            if len(new) + len(gone) == ROUND or size > ROUND_BYTES:
                break
            if self._is_ours(key):
                size += len(value or b"")
                self._written.add(key)
                (gone if value is None else new).append(Outgoing(key.encode(errors="replace"), value))
        return new + gone

    def _compare(self) -> None:
        """Find out which of the next changed keys differ from the wish."""
        wish = self._wish or {}
        size = 0
        for key in list(islice(self._changed_keys, COMPARED)):
            if size > ROUND_BYTES:
                break
            del self._changed_keys[key]
            value = status.encode(wish[key]) if key in wish else None
            size += len(value or b"")
            if self._is_as_wished(key, value):
                self._unwritten.pop(key, None)
            else:
                self._unwritten[key] = value

    def _is_as_wished(self, key: str, value: bytes | None) -> bool:
        if value is None:
            return key not in self._content
        return value in (self._content.get(key), self._refused.get(key))

    async def _write_round(self, batch: Sequence[Outgoing]) -> Exception | None:
        failure: Exception | None = None
        for record, outcome in zip(batch, await self._writer.write(batch), strict=True):
            found = outcome
            if isinstance(found, MessageSizeTooLargeError) and len(batch) > 1:
                # Kafka refused a batch. Only a record that it refuses alone is too large.
                (found,) = await self._writer.write([record])
            failure = self._note(record, found) or failure
        return failure

    def _note(self, record: Outgoing, outcome: Exception | None) -> Exception | None:
        """Note one record's outcome; return the failure if another attempt may succeed."""
        key = record.key.decode()
        if outcome is not None:
            self._written.discard(key)
        if isinstance(outcome, MessageSizeTooLargeError) and record.value is not None:
            log.error("status_record_too_large", key=key, bytes=len(record.value))
            self._refused[key] = record.value
            self._changed_keys[key] = None
            self._on_too_large(key, status.decode(record.value) or {}, self._decoded.get(key))
            return None
        if outcome is not None:
            self._content[key] = None
            return outcome
        self._refused.pop(key, None)
        if key not in self._written:
            return None
        # Keep the written record: when a slot is lost, we then need not decode thousands of them.
        is_latest = key not in self._changed_keys
        wish = (self._wish or {}).get(key) if is_latest else status.decode(record.value or b"")
        self._set(key, record.value, wish)
        if key in self._unwritten and self._unwritten[key] == record.value:
            del self._unwritten[key]
        return None


def _key(record: Any) -> str:
    return (record.key or b"").decode(errors="replace")


def _every(_: str) -> bool:
    return True


def _none(_: str) -> bool:
    return False
