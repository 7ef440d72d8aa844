"""Reads a journal's folder without its lock, and changes nothing: for people and for checks."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from connector.core.journal.record import HEADER_BYTES, format_of
from connector.core.journal.state import Progress, unsealed
from connector.shell.journal.folder import MOST_READ_BYTES
from connector.shell.journal.reading import Scan, scan
from connector.shell.journal.recovery import (
    EMPTY,
    PROGRESS,
    SAVED,
    SEGMENT,
    counted,
    has_texts,
    progress_of,
    refuse_newer,
)
from connector.shell.journal.segment import given
from connector.shell.journal.unlocked import opened, unlocked

BAD_BYTES: Final = "is damaged: some bytes are no record or cannot be read."
NOTHING: Final = Progress(0, 0, {}, [], {}, 0)


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
    frame nor a mark. `torn_bytes` follow the last whole record. `damaged` names the damaged small
    files; without `progress`, more counts as pending than is.
    """

    path: Path
    segments: list[Segment]
    watermark: int
    pending: int
    bytes: int
    missing: list[range]
    torn_bytes: int
    damaged: list[str]

    @property
    def corrupt(self) -> int:
        """How many numbers are missing."""
        return sum(map(len, self.missing))

    @property
    def problems(self) -> list[str]:
        """Each damage as a sentence; none in a sound journal."""
        return [
            *(f"{self.path / each} is damaged or cannot be read." for each in self.damaged),
            *(f"{self.path / each.file} {BAD_BYTES}" for each in self.segments if each.damaged),
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
        first_progress = _progress(path)
        sizes = dict(_sizes(path))
        scans = [found for name in sorted(sizes) if SEGMENT.fullmatch(name) and (found := _scan(path / name))]
        last_progress = _progress(path)
        is_sound = {PROGRESS: last_progress is not None, SAVED: _has_sound_texts(path)}
        damaged = [name for name in is_sound if not is_sound[name]]
    synced, progress = (first_progress or NOTHING).synced, last_progress or NOTHING
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
    segments = [each.segment for each in scans]
    return Inspection(path, segments, tally.watermark, tally.pending, size, missing, torn, damaged)


class _Scan(NamedTuple):
    segment: Segment
    found: Scan
    torn_bytes: int


def _progress(path: Path) -> Progress | None:
    """Return the saved progress, or that of a new journal if there is none; None if damaged."""
    try:
        content = _content(path / PROGRESS)
    except FileNotFoundError:
        path.stat()  # raises FileNotFoundError if there is no folder either
        return NOTHING
    return None if content is None else progress_of(path, content)


def _has_sound_texts(path: Path) -> bool:
    try:
        content = _content(path / SAVED)
    except FileNotFoundError:
        return True
    return content is not None and has_texts(content)


def _content(path: Path) -> dict[str, Any] | None:
    """Return what a small file holds, None if it is damaged. Raises FileNotFoundError."""
    with opened(path) as fd:
        return None if fd is None else unsealed(given(fd, min(os.fstat(fd).st_size, MOST_READ_BYTES), 0))


def _sizes(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and size of each file, 0 if the disk does not give its size.

    One that vanishes meanwhile is left out. What only has the name of a segment is damage.
    """
    for entry in os.scandir(path):
        if not entry.is_file(follow_symlinks=False) and not SEGMENT.fullmatch(entry.name):
            continue
        try:
            size = entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
        except OSError:
            size = 0
        yield entry.name, size


def _scan(path: Path) -> _Scan | None:
    """Read one segment; None if it was deleted meanwhile."""
    skipped = list[int]()
    try:
        with opened(path) as fd:
            if fd is None:
                return _Scan(Segment(path.name, int(path.stem), int(path.stem) - 1, 0, damaged=True), EMPTY, 0)
            # Looked up first, as what is appended while the records are read is no torn end.
            size, head = os.fstat(fd).st_size, given(fd, HEADER_BYTES, 0)
            refuse_newer(path.parent, format_of(head))
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
