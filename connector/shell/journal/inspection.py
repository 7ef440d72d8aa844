"""Reads a journal's folder without its lock, and changes nothing: for people and for checks."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from connector.core.journal.record import HEADER_BYTES, format_of
from connector.core.journal.state import Progress, unsealed
from connector.errors import JournalUnusable, RequestMalformed
from connector.shell.journal.reading import Scan, scan
from connector.shell.journal.recovery import PROGRESS, SEGMENT, counted, refuse_newer
from connector.shell.journal.segment import given


class Segment(NamedTuple):
    """One segment. `last` is the highest number in it; `damaged` says that bytes were skipped."""

    file: str
    first: int
    last: int
    bytes: int
    damaged: bool


class Inspection(NamedTuple):
    """What a journal's folder holds.

    `missing` are the numbers above the watermark, up to the last, for which there is neither a
    frame nor a mark. `torn_bytes` follow the last whole record.
    """

    path: Path
    segments: list[Segment]
    watermark: int
    pending: int
    bytes: int
    missing: list[range]
    torn_bytes: int

    @property
    def corrupt(self) -> int:
        """How many numbers are missing."""
        return sum(map(len, self.missing))

    @property
    def problems(self) -> list[str]:
        """Each damage as a sentence; none in a sound journal."""
        return [
            *(
                f"{self.path / each.file} is damaged: some bytes are no record or cannot be read."
                for each in self.segments
                if each.damaged
            ),
            *(f"{self.path} lacks {_numbers(each)} not delivered." for each in self.missing),
        ]


def inspect(path: Path) -> Inspection:
    """Read every record of a journal, held by a running connector or not.

    Raises RequestMalformed if there is no journal, and JournalUnusable if it may not be read or a
    newer version wrote it.
    """
    with unlocked(path):
        # In this order, what a running connector does meanwhile looks like no damage: what counts
        # as synced is read before the segments, and what counts as finished after them.
        synced = _progress(path).synced
        sizes = dict(_sizes(path))
        scans = [found for name in sorted(sizes) if SEGMENT.fullmatch(name) and (found := _scan(path / name))]
        progress = _progress(path)
    # A segment without a record, as a power cut leaves one, says nothing about its numbers.
    last = max([synced, progress.watermark, *(each.found.last for each in scans if each.found.end)])
    marks = [*progress.marks, *(mark for each in scans for mark in each.found.marks)]
    tally = counted(progress, last, [mark._replace(last_seq=min(mark.last_seq, last)) for mark in marks])
    frames = sorted((each for one in scans for each in one.found.frames), key=lambda each: each.start)
    missing, after = list[range](), tally.watermark
    for each in (*frames, range(last + 1, last + 1)):
        missing += tally.lose(after + 1, each.start - 1, "corrupt")
        after = max(after, each.stop - 1)
    torn = scans[-1].torn_bytes if scans else 0
    size = sum(sizes.values())
    return Inspection(path, [each.segment for each in scans], tally.watermark, tally.pending, size, missing, torn)


@contextlib.contextmanager
def unlocked(path: Path) -> Iterator[None]:
    """Turn the errors of reading a journal's folder into errors that name it."""
    try:
        yield
    except FileNotFoundError:
        raise RequestMalformed(f"There is no journal in {path}. Give its folder with --journal.") from None
    except NotADirectoryError:
        raise RequestMalformed(f"{path} is not a folder, and so no journal. Give one with --journal.") from None
    except OSError as error:
        raise JournalUnusable(f"The journal {path} could not be read: {error.strerror}.") from error


@contextlib.contextmanager
def segment(path: Path) -> Iterator[int]:
    """Give the descriptor of a segment.

    Raises FileNotFoundError if it was deleted meanwhile, and JournalUnusable.
    """
    fd = None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        refuse_newer(path.parent, format_of(given(fd, HEADER_BYTES, 0)))
        yield fd
    except FileNotFoundError:
        raise
    except OSError as error:
        raise JournalUnusable(f"The journal {path.parent} could not be read: {error.strerror}.") from error
    finally:
        if fd is not None:
            os.close(fd)


class _Scan(NamedTuple):
    segment: Segment
    found: Scan
    torn_bytes: int


def _progress(path: Path) -> Progress:
    """Return the saved progress, or that of a new journal if there is none that can be read."""
    with contextlib.suppress(FileNotFoundError, KeyError, TypeError):
        if (content := unsealed((path / PROGRESS).read_bytes())) is not None:
            refuse_newer(path, content["format"])
            return Progress.from_content(content)
    path.stat()  # raises FileNotFoundError if there is no folder either
    return Progress(0, 0, {}, [], {}, 0)


def _sizes(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and size of each file; one that vanishes meanwhile is left out."""
    for entry in os.scandir(path):
        with contextlib.suppress(FileNotFoundError):
            if entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False).st_size


def _scan(path: Path) -> _Scan | None:
    """Read one segment; None if it was deleted meanwhile."""
    skipped = list[int]()
    try:
        with segment(path) as fd:
            # Looked up first, as what is appended while the records are read is no torn end.
            size, head = os.fstat(fd).st_size, given(fd, HEADER_BYTES, 0)
            found = scan(fd, [(int(path.stem) - 1, HEADER_BYTES)], skipped.append)
    except FileNotFoundError:
        return None
    # The header of a segment that has just been created may not be complete yet.
    damaged = bool(skipped) or (format_of(head) is None and len(head) == HEADER_BYTES)
    sound = found.end or len(head) // HEADER_BYTES * HEADER_BYTES
    size = max(size, sound)
    return _Scan(Segment(path.name, int(path.stem), found.last, size, damaged), found, size - sound)


def _numbers(each: range) -> str:
    if len(each) == 1:
        return f"frame {each.start}, which was"
    return f"the {len(each):,} frames {each.start} to {each.stop - 1}, which were"
