"""One file of the log, and reading it from a disk that fails."""

import contextlib
import errno
import os
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import structlog

from connector.core.journal.record import HEADER_BYTES

log = structlog.get_logger("connector.journal")

PAGE: Final = 4096  # what a failing disk loses at least
# A volume that was cut off comes back. What it has not given for so long counts as damaged.
UNREADABLE_SECONDS = 60.0


@dataclass(eq=False)
class Segment:
    """One file. `fd` is open until the file is complete and synced.

    `since` is the monotonic time of its first record. `index` holds numbers, and the places where
    later records begin. `unreadable` says by place since when the disk has not given a page.
    """

    first: int
    last: int
    size: int
    since: float
    fd: int | None = None
    is_damaged: bool = False
    unreadable: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = f"{self.first:020}.log"
        self.index = [(self.first - 1, HEADER_BYTES)]

    def note_damage(self, skipped: int) -> None:
        """Log the first damage that is met in this segment."""
        if not self.is_damaged:
            log.error("journal_damaged", file=self.name, bytes=skipped)
        self.is_damaged = True

    def pread(self, fd: int, size: int, at: int) -> bytes:
        """Return what os.pread does, with zeros for pages that have been unreadable for long.

        Raises OSError while the disk may still give a page.
        """
        end = max(at, min(at + size, os.fstat(fd).st_size))
        if (data := _bytes(fd, at, end)) is not None:
            if self.unreadable:
                for page in range(at // PAGE, end // PAGE + 1):
                    self.unreadable.pop(page, None)
            return data
        bounds = [at, *range((at // PAGE + 1) * PAGE, end, PAGE), end]
        pages = [self._page(fd, begin, stop) for begin, stop in pairwise(bounds)]
        if None in pages:
            raise OSError(errno.EIO, "the disk does not give a part of it", self.name)
        return b"".join(filter(None, pages))

    def _page(self, fd: int, begin: int, end: int) -> bytes | None:
        if (data := _bytes(fd, begin, end)) is not None:
            self.unreadable.pop(begin // PAGE, None)
            return data
        since = self.unreadable.setdefault(begin // PAGE, time.monotonic())
        return bytes(end - begin) if time.monotonic() >= since + UNREADABLE_SECONDS else None

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
