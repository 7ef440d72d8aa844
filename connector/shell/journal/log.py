"""The segments of one journal: written by one thread, synced and read by others."""

import contextlib
import os
import time
from bisect import insort
from collections.abc import Iterable, Sequence
from typing import Final

from connector.core.journal.record import Block, Item, Key, Mark, encode, header
from connector.shell.journal.folder import Folder, write_all
from connector.shell.journal.reading import Segment

LARGEST_SEGMENT: Final = 64 * 2**20
CLOSED: Final = -1  # a call with this descriptor fails
PARTS: Final = 16  # a segment spans at most this part of the bytes and of the hours kept


class Full(Exception):
    """The write would exceed `max_bytes` even without the delivered segments; `room` is left."""

    def __init__(self, room: int) -> None:
        super().__init__(f"the journal is full: {room} bytes are left")
        self.room = room


class SyncFailed(Exception):
    """A segment could not be synced, so that nobody knows which of its bytes are on the disk."""

    def __init__(self, segment: "Segment", error: OSError) -> None:
        super().__init__(str(error))
        self.segment = segment


class Log:
    """Segments in the order of their first numbers; a number is in the last that can hold it.

    `segments` is replaced, never changed, so that any thread can read it. `write`, `retire`,
    `prune` and `seal` run on one thread, `sync` and `read` on one other thread each.
    `state_bytes` is what the other files of the folder need at most.
    """

    def __init__(self, folder: Folder, segments: Iterable[Segment], max_bytes: int, retain_seconds: float) -> None:
        self.folder = folder
        self.segments = tuple(segments)
        self.state_bytes = 0
        self.is_dirty = False
        self._max_bytes = max_bytes
        self._segment_bytes = min(LARGEST_SEGMENT, max_bytes // PARTS)
        self._retain_seconds = retain_seconds
        self._active: Segment | None = None

    @property
    def used_bytes(self) -> int:
        """The bytes of all files."""
        return sum(segment.size for segment in self.segments) + self.state_bytes

    # -- the writing thread ------------------------------------------------------------------------

    def write(self, items: Sequence[Item], keys: Iterable[Key], finished: int) -> None:
        """Append records in one call of the system; begin a new segment if the old one is full.

        A new segment begins with the numbers finished and with the `keys`, so that it can be read
        without the segments before it. Raises Full and OSError. After an OSError the segment is
        not written again.
        """
        data, active = encode(items), self._active
        if active is None or active.size + len(data) > self._segment_bytes:
            if any(not isinstance(item, Key) for item in items):  # keys alone can wait: they begin the next one
                self._create(items, keys, finished, is_active=True)
            return
        self._make_room(len(data), finished)
        fd = CLOSED if active.fd is None else active.fd
        try:
            write_all(fd, data)
        except OSError:
            self.seal()
            with contextlib.suppress(OSError):
                os.ftruncate(fd, active.size)
            with contextlib.suppress(OSError):
                active.size = os.fstat(fd).st_size
            raise
        self.is_dirty = True
        active.size += len(data)
        active.last = _last(items) or active.last

    def _create(self, items: Sequence[Item], keys: Iterable[Key], finished: int, *, is_active: bool) -> None:
        first = min(_first(item) for item in items if not isinstance(item, Key))
        head: list[Item] = [key._replace(seq=first - 1) for key in keys]
        if finished:
            head.append(Mark(1, finished, None))
        data = header(first) + encode([*head, *(item for item in items if not isinstance(item, Key))])
        self._make_room(len(data), finished)
        name = f"{first:020}.log"
        others = [segment for segment in self.segments if segment.name != name]
        is_taken = len(others) < len(self.segments)  # by a segment of which nothing was synced
        new = f"{name}.new" if is_taken else name
        fd = self.folder.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            write_all(fd, data)
            if is_taken:
                self.folder.rename(new, name)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                self.folder.unlink(new)
            raise
        segment = Segment(name, first, len(data), time.monotonic(), _last(items))
        segment.fd = fd
        insort(others, segment)
        # First active, then known to the syncing thread, which closes what is not active.
        self._active = segment if is_active else self._active
        self.segments = tuple(others)
        self.is_dirty = True

    def retire(self, failed: Segment, items: Sequence[Item], keys: Iterable[Key], finished: int) -> None:
        """Put what a segment may have lost into a new one. Raises Full and OSError."""
        if failed is self._active:
            self._active = None
        if items:
            self._create(items, keys, finished, is_active=False)
        if failed.fd is not None:
            os.close(failed.fd)
            failed.fd = None

    def seal(self) -> None:
        """Append no more to the active segment."""
        self._active = None

    def prune(self, finished: int) -> None:
        """Unlink finished segments that are too old; `finished` must be on the disk."""
        active, age = self._active, self._retain_seconds
        # Undelivered frames alone keep it open: the number of files must not grow with an outage.
        if active and active.first <= finished and time.monotonic() - active.since > age / PARTS:
            self.seal()
        while self._is_finished(finished) and time.monotonic() - self.segments[0].since > age:
            self._unlink_oldest()

    def _make_room(self, size: int, finished: int) -> None:
        while self.used_bytes + size > self._max_bytes:
            if not self._is_finished(finished):
                raise Full(self._max_bytes - self.used_bytes)
            self._unlink_oldest()

    def reserve(self, state_bytes: int, finished: int) -> None:
        """Make room for the other files. Raises Full."""
        self._make_room(state_bytes - self.state_bytes, finished)
        self.state_bytes = state_bytes

    def _is_finished(self, finished: int) -> bool:
        if not self.segments or self.segments[0].fd is not None:
            return False
        last = self.segments[1].first - 1 if len(self.segments) > 1 else self.segments[0].last
        return last is not None and last <= finished

    def _unlink_oldest(self) -> None:
        self.folder.unlink(self.segments[0].name)
        self.segments = self.segments[1:]

    # -- the syncing thread ------------------------------------------------------------------------

    def sync(self) -> None:
        """Sync all that was written before. Raises SyncFailed and OSError."""
        self.is_dirty = False
        try:
            self._sync_all()
        except BaseException:
            self.is_dirty = True
            raise

    def _sync_all(self) -> None:
        for segment in self.segments:
            if segment.fd is None:
                continue
            is_complete = segment is not self._active
            try:
                os.fdatasync(segment.fd)
            except OSError as error:
                raise SyncFailed(segment, error) from error
            if is_complete:
                os.close(segment.fd)
                segment.fd = None
        self.folder.sync()

    def close(self) -> None:
        """Close all files and release the lock; no thread may be at work."""
        for segment in self.segments:
            if segment.fd is not None:
                os.close(segment.fd)
                segment.fd = None
        self.folder.close()


def _first(item: Item) -> int:
    return item.first_seq if isinstance(item, Block) else item.first if isinstance(item, Mark) else item.seq


def _last(items: Sequence[Item]) -> int | None:
    return max((i.last_seq if isinstance(i, Block) else i.last for i in items if not isinstance(i, Key)), default=None)
