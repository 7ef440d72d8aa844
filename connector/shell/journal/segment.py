"""One file of the log, and reading it from a disk that fails."""

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import structlog

from connector.core.journal.record import HEADER_BYTES

log = structlog.get_logger("connector.journal")

PAGE: Final = 4096  # what a failing disk loses at least
# A volume that was cut off may come back. After so long, what it does not give counts as damaged.
UNREADABLE_SECONDS = 60.0


class Unreadable(OSError):
    """The disk does not give a part of a segment, but still may."""


class Failure(NamedTuple):
    """Reads failed from `since` to `until`, in monotonic time; `read` has the last one's place."""

    since: float
    until: float
    read: tuple[int, int]


@dataclass(eq=False)
class Segment:
    """One file. `fd` is open until the file is complete and synced.

    `since` is the monotonic time of its first record. `index` holds numbers, and the places where
    later records begin. All unreadable parts of the file share one `failure`, and so one wait.
    """

    first: int
    last: int
    size: int
    since: float
    fd: int | None = None
    is_damaged: bool = False
    failure: Failure | None = None

    def __post_init__(self) -> None:
        self.name = f"{self.first:020}.log"
        self.index = [(self.first - 1, HEADER_BYTES)]

    def note_damage(self, skipped: int) -> None:
        """Log the first damage that is met in this segment."""
        if not self.is_damaged:
            log.error("journal_damaged", file=self.name, bytes=skipped)
        self.is_damaged = True

    def pread(self, fd: int, size: int, at: int) -> bytes:
        """Return what os.pread does; once reads have failed for long, zeros for unreadable pages.

        Raises Unreadable before that.
        """
        begun = time.monotonic()
        end = max(at, min(at + size, os.fstat(fd).st_size))
        if (data := _bytes(fd, at, end)) is not None:
            # A good read of other bytes says nothing of those that are waited for.
            if self.failure and self.failure.read == (size, at):
                self.failure = None
            return data
        self._note_failure(begun, (size, at), "the disk does not give a part of it")
        bounds = [at, *range((at // PAGE + 1) * PAGE, end, PAGE), end]
        return b"".join(_bytes(fd, start, stop) or bytes(stop - start) for start, stop in pairwise(bounds))

    def _note_failure(self, begun: float, read: tuple[int, int], problem: str) -> None:
        """Note a read that failed; raise Unreadable while the disk may still come back."""
        last, now = self.failure, time.monotonic()
        since = last.since if last and begun <= last.until + UNREADABLE_SECONDS else begun
        self.failure = Failure(since, now, read)
        if now < since + UNREADABLE_SECONDS:
            raise Unreadable(errno.EIO, problem, self.name)

    def close(self) -> None:
        """Close the file, if it is open."""
        fd, self.fd = self.fd, None
        if fd is not None:
            with contextlib.suppress(OSError):  # a sync that failed was told of
                os.close(fd)


def _bytes(fd: int, begin: int, end: int) -> bytes | None:
    """Return these bytes, or None if the disk does not give all of them."""
    with contextlib.suppress(OSError):
        if len(data := os.pread(fd, end - begin, begin)) == end - begin:
            return data
    return None
