"""Looks at a journal, also at one that another process holds, without a change."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connector.core.journal.record import HEADER_BYTES, format_of
from connector.core.journal.tally import Tally
from connector.shell.journal.folder import Folder
from connector.shell.journal.reading import Segment, read, records
from connector.shell.journal.recovery import look

FRAMES_A_READ: Final = 4096


@dataclass(frozen=True)
class SegmentView:
    """One segment: its file, first and last number, bytes, and whether bytes in it are damaged."""

    file: str
    first: int
    last: int
    bytes: int
    damaged: bool


@dataclass(frozen=True)
class Inspection:
    """What a journal holds; `corrupt` counts the numbers above the watermark that are missing.

    The end of the last segment may be a record that is being written: that is no damage.
    """

    segments: list[SegmentView]
    pending: int
    watermark: int
    bytes: int
    corrupt: int


def inspect(path: Path) -> Inspection:
    """Read every segment. Raises OSError and JournalUnusable."""
    folder = Folder(path, create=False)
    try:
        found = look(folder)
        seen = [_view(folder, segment, segment is found.segments[-1]) for segment in found.segments]
        watermark = found.progress.watermark if found.progress else 0
        last = max([watermark, *(view.last for view in seen)])
        tally = Tally(watermark, last, {}, found.progress.marks if found.progress else [])
        after = watermark
        while after < last:
            part = read(folder, found.segments, after, last + 1, FRAMES_A_READ)
            for first, through, reason in part.marks:
                if reason:
                    tally.lose(first, through, reason)
            for missing in part.missing:
                tally.lose(missing.start, missing.stop - 1, "corrupt")
            after = part.block.last_seq
        size = sum(os.stat(name, dir_fd=folder.fd).st_size for name in folder.names())
        return Inspection(seen, tally.pending, watermark, size, tally.lost.get("corrupt", 0))
    finally:
        folder.close()


def _view(folder: Folder, segment: Segment, is_last: bool) -> SegmentView:  # noqa: FBT001 - a fact of it
    fd = folder.open(segment.name)
    try:
        damaged = format_of(os.pread(fd, HEADER_BYTES, 0)) is None
        last, sound = segment.first - 1, HEADER_BYTES
        for end, record in records(fd, segment):
            last, sound = max(last, record.seq), end
        damaged |= segment.is_damaged or (not is_last and sound != segment.size)
    finally:
        os.close(fd)
    return SegmentView(segment.name, segment.first, last, segment.size, damaged)
