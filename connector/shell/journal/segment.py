"""One file of the log, and reading it from a disk that fails."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import structlog

from connector.core.journal.record import HEADER_BYTES
from connector.shell.journal.folder import Folder

log = structlog.get_logger("connector.journal")

PAGE: Final = 4096  # what a failing disk loses at least
# A volume that was cut off may come back. After so long, what it does not give counts as damaged.
UNREADABLE_SECONDS = 60.0
OPENING: Final = (0, -1)  # among the places of reads
SCARCE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # tell of the machine, not of the file


class Unreadable(OSError):
    """The disk does not give a part of a segment, but still may."""


class Failure(NamedTuple):
    """Reads failed from `since` to `until`, in monotonic time; `read` is the last one's place."""

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

    @contextlib.contextmanager
    def opened(self, folder: Folder) -> Iterator[int | None]:
        """Give the file's descriptor for a while; None if it is gone or failed to open for long.

        Raises OSError before that.
        """
        fd = self._open(folder)
        try:
            yield fd
        finally:
            if fd is not None:
                os.close(fd)

    def _open(self, folder: Folder) -> int | None:
        begun = time.monotonic()
        try:
            fd = folder.open(self.name)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in SCARCE:
                raise
            self._note_failure(begun, OPENING, error.strerror or str(error))
            self.note_damage(self.size)
            return None
        self._note_success(OPENING)
        return fd

    def pread(self, fd: int, size: int, at: int) -> bytes:
        """Return what os.pread does; once reads have failed for long, zeros for unreadable pages.

        Raises Unreadable before that.
        """
        begun = time.monotonic()
        end = _end(fd, size, at)
        if (data := _bytes(fd, at, end)) is not None:
            self._note_success((size, at))
            return data
        self._note_failure(begun, (size, at), "the disk does not give a part of it")
        return _pages(fd, at, end)

    def _note_success(self, read: tuple[int, int]) -> None:
        """End the failure of this read; a good one of other bytes says nothing of it."""
        if self.failure and self.failure.read == read:
            self.failure = None

    def _note_failure(self, begun: float, read: tuple[int, int], problem: str) -> None:
        """Note a read that failed; raise Unreadable while the disk may still come back."""
        last, now = self.failure, time.monotonic()
        since = last.since if last and begun <= last.until + UNREADABLE_SECONDS else begun
        self.failure = Failure(since, now, read)
        if now < since + UNREADABLE_SECONDS:
            raise Unreadable(f"{self.name}: {problem}")

    def close(self) -> None:
        """Close the file, if it is open."""
        fd, self.fd = self.fd, None
        if fd is not None:
            with contextlib.suppress(OSError):  # a sync that failed was told of
                os.close(fd)


def given(fd: int, size: int, at: int) -> bytes:
    """Return what os.pread does, with zeros for the pages that the disk does not give."""
    end = _end(fd, size, at)
    data = _bytes(fd, at, end)
    return _pages(fd, at, end) if data is None else data


def _pages(fd: int, begin: int, end: int) -> bytes:
    bounds = [begin, *range((begin // PAGE + 1) * PAGE, end, PAGE), end]
    return b"".join(_bytes(fd, start, stop) or bytes(stop - start) for start, stop in pairwise(bounds))


def _end(fd: int, size: int, at: int) -> int:
    return max(at, min(at + size, os.fstat(fd).st_size))


def _bytes(fd: int, begin: int, end: int) -> bytes | None:
    """Return these bytes, or None if the disk does not give all of them."""
    with contextlib.suppress(OSError):
        if len(data := os.pread(fd, end - begin, begin)) == end - begin:
            return data
    return None
