"""The segments of one journal: written by one thread, synced and read by others."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from connector.core.journal.record import Item, Key, Mark, encode, header
from connector.shell.journal.folder import Folder, write_all
from connector.shell.journal.segment import Segment

LARGEST_SEGMENT: Final = 64 * 2**20
PARTS: Final = 16  # a segment spans at most this part of the bytes and of the hours kept
# Frames leave so much to the small files, or one part if that is less. The 1,000 events that may
# wait take a third of a MiB or more, and each file has a second copy.
SPARE_BYTES: Final = 2 * 2**20


class Full(Exception):
    """The write does not fit in `max_bytes` even without the delivered segments; `room` is left."""

    def __init__(self, room: int) -> None:
        super().__init__(f"the journal is full: {room} bytes are left")
        self.room = room


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
        self._spare_bytes = min(SPARE_BYTES, max_bytes // PARTS)
        self._retain_seconds = retain_seconds
        self._active: Segment | None = None

    @property
    def used_bytes(self) -> int:
        """The bytes of all files."""
        return sum(segment.size for segment in self.segments) + self.state_bytes

    # -- the writing thread ------------------------------------------------------------------------

    def write(self, items: Sequence[Item], head: Sequence[Key | Mark], finished: int) -> None:
        """Append items in one call of the system, or begin a new segment with them.

        A new one begins with the keys and the mark of `head`, so that it can be read without the
        segments before it. Segments up to number `finished` may be unlinked. Raises Full and
        OSError. After an OSError the segment is not written again.
        """
        active, data = self._active, encode(items)
        if active is None or active.fd is None or active.size + len(data) > self._segment_bytes:
            if numbered := [item for item in items if not isinstance(item, Key)]:  # the head has all keys
                self._create(numbered, head, finished)
            return
        self._make_room(len(data), finished, self._spare_bytes)
        try:
            write_all(active.fd, data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(active.fd, active.size)
            with contextlib.suppress(OSError):
                active.size = os.fstat(active.fd).st_size
            self.seal()  # last, because the syncing thread closes what is not active
            raise
        self.is_dirty = True
        active.size += len(data)
        active.last = items[-1].last_seq

    def _create(self, items: Sequence[Item], head: Sequence[Key | Mark], finished: int) -> None:
        """Begin a segment, which replaces all that begin with its first number or a later one."""
        first, last = items[0].first_seq, items[-1].last_seq
        data = header(first) + encode([*_head(head, first), *items])
        self._make_room(len(data), finished, self._spare_bytes)
        begun = Segment(first, last, len(data), time.monotonic())
        new = f"{begun.name}.new"
        begun.fd = self.folder.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            write_all(begun.fd, data)
            self.folder.rename(new, begun.name)
        except OSError:
            begun.close()
            with contextlib.suppress(OSError):
                self.folder.unlink(new)
            raise
        before = [segment for segment in self.segments if segment.first < first]
        after = [segment for segment in self.segments if segment.first > first]
        try:
            for segment in after:
                self.folder.unlink(segment.name)
        except OSError:  # after a restart, one that stays would hide later frames of this one
            begun.close()
            self.segments = (*before, begun, *after)
            raise
        # First active, then known to the syncing thread, which closes what is not active.
        self._active = begun
        self.segments = (*before, begun)
        self.is_dirty = True

    def retire(self) -> list[str]:
        """Close all segments that may lack something on the disk; return the names of their files.

        They are neither written nor synced any more.
        """
        self.seal()
        retired = [segment for segment in self.segments if segment.fd is not None]
        for segment in retired:
            segment.close()
        return [segment.name for segment in retired]

    def seal(self) -> None:
        """Append no more to the active segment."""
        self._active = None

    def prune(self, finished: int) -> None:
        """Unlink finished segments that are too old; `finished` must be on the disk."""
        active, age = self._active, self._retain_seconds
        # Undelivered frames alone keep it open: the number of files must not grow with an outage.
        if active and active.first <= finished and time.monotonic() - active.since > age / PARTS:
            self.seal()
            self.is_dirty = True  # the next sync closes it, even if nothing more is written
        while self._is_finished(finished) and time.monotonic() - self.segments[0].since > age:
            self._unlink_oldest()

    def _make_room(self, size: int, finished: int, spare: int = 0) -> None:
        while size > (room := self._max_bytes - self.used_bytes - spare):
            if not self._is_finished(finished):
                raise Full(room)
            self._unlink_oldest()

    def reserve(self, state_bytes: int, finished: int) -> None:
        """Make room for the other files, which may take the spare bytes. Raises Full."""
        if state_bytes > self.state_bytes:
            self._make_room(state_bytes - self.state_bytes, finished)
            self.state_bytes = state_bytes

    def _is_finished(self, finished: int) -> bool:
        if not self.segments or self.segments[0].fd is not None:
            return False
        last = self.segments[1].first - 1 if len(self.segments) > 1 else self.segments[0].last
        return last <= finished

    def _unlink_oldest(self) -> None:
        self.folder.unlink(self.segments[0].name)
        self.segments = self.segments[1:]

    # -- the syncing thread ------------------------------------------------------------------------

    def sync(self) -> None:
        """Sync all that was written before.

        After an OSError nobody knows which of the unsynced bytes and names are on the disk.
        """
        self.is_dirty = False
        unsynced = [(segment, fd) for segment in self.segments if (fd := segment.fd) is not None]
        active = self._active  # after the segments, so that a new one among them is not taken for complete
        try:
            for _, fd in unsynced:
                os.fdatasync(fd)
            self.folder.sync()
        except BaseException:
            self.is_dirty = True
            raise
        for segment, _ in unsynced:
            if segment is not active:
                segment.close()

    def close(self) -> None:
        """Close all files and release the lock; no thread may be at work."""
        for segment in self.segments:
            segment.close()
        self.folder.close()


def _head(items: Iterable[Key | Mark], first: int) -> Iterator[Key | Mark]:
    """Yield the head of a segment whose first number is `first`, below which all of it stays.

    The finished numbers may reach further: lost frames are finished without being on the disk, and
    after a failed sync a segment begins with the first frame that is not there.
    """
    for item in items:
        if isinstance(item, Key):
            yield item._replace(seq=first - 1)
        elif item.first_seq < first:
            yield item._replace(last_seq=min(item.last_seq, first - 1))
