"""Finds out, at a start, what the folder of the last process holds."""

import contextlib
import os
import re
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from connector.core.journal.record import FORMAT, HEADER_BYTES, Key, Mark, format_of
from connector.core.journal.state import Progress, unsealed
from connector.core.journal.tally import Tally
from connector.errors import JournalUnusable
from connector.shell.journal.folder import LOCK, Folder, Foreign
from connector.shell.journal.reading import Scan, scan
from connector.shell.journal.segment import Segment

log = structlog.get_logger("connector.journal")

PROGRESS: Final = "progress"
SAVED: Final = "saved.json"
EMPTY: Final = Scan([], [], [], 0, 0)
SEGMENT: Final = re.compile(r"0[0-8][0-9]{18}\.log")  # a number is below 2**63
OURS: Final = re.compile(rf"({LOCK}|{PROGRESS}|{re.escape(SAVED)}|{SEGMENT.pattern})(\.new)?")


@dataclass
class Recovered:
    """What the last process left; `keys` are those of the last segment, oldest first.

    `missing` are the numbers counted as lost because they were synced and have no record.
    """

    segments: list[Segment]
    progress: Progress
    saved: dict[str, Any]
    tally: Tally = field(default_factory=lambda: Tally(0, 0, {}, ()))
    keys: list[Key] = field(default_factory=list)
    missing: list[range] = field(default_factory=list)


def recover(folder: Folder, found: Recovered) -> Recovered:
    """Read the last segment of what `look` found, and cut it after its last whole record.

    All that is found is on the disk afterwards: a kill leaves the latest records to the kernel.
    Raises OSError. After an Unreadable it may be called again.
    """
    last = EMPTY
    while found.segments and not last.end:
        segment = found.segments[-1]
        with segment.opened(folder) as fd:
            last = EMPTY if fd is None else scan(fd, segment.index, segment.note_damage, segment.pread)
        segment.last = last.last
        if last.end < segment.size:
            log.warning("journal_tail_cut", file=segment.name, bytes=segment.size - last.end)
        if not last.end:
            folder.unlink(found.segments.pop().name)
        elif last.end < segment.size:
            _cut(folder, segment, last.end)
    for name in folder.names():
        if name.endswith(".new") and SEGMENT.fullmatch(name[:-4]):
            folder.unlink(name)
    _sync(folder, found)
    found.keys = last.keys
    found.tally = counted(found.progress, last.last, [*found.progress.marks, *last.marks])
    found.missing = found.tally.lose(last.last + 1, found.progress.synced, "corrupt")
    found.tally.written = found.tally.synced = found.tally.last
    return found


def look(folder: Folder) -> Recovered:
    """Read the small files and list the segments, without a change of content.

    Raises OSError and JournalUnusable.
    """
    names = folder.names()
    for name in names:
        if OURS.fullmatch(name):
            folder.check(name)
    segments = [_segment(folder, name) for name in names if SEGMENT.fullmatch(name)]
    content, saved = (_state(folder, name) for name in (PROGRESS, SAVED))
    if saved is not None and not has_texts(saved):
        log.error("journal_state_damaged", file=SAVED)
        saved = None
    progress = None if content is None else progress_of(folder.path, content)
    if content is not None and progress is None:
        log.error("journal_state_damaged", file=PROGRESS)
    nothing = Progress(segments[0].first - 1 if segments else 0, 0, {}, [], {}, 0)
    return Recovered(segments, progress or nothing, saved or {})


def has_texts(saved: Mapping[str, Any]) -> bool:
    """Return whether this is what `saved.json` may hold."""
    return isinstance(saved.get("texts"), dict)


def progress_of(path: Path, content: Mapping[str, Any]) -> Progress | None:
    """Return the progress that a file of the journal in `path` holds, None if it is damaged.

    Raises JournalUnusable if a newer version wrote it.
    """
    if isinstance(version := content.get("format"), int):
        refuse_newer(path, version)
        with contextlib.suppress(ValueError):
            return Progress.from_content(content)
    return None


def refuse_newer(path: Path, version: int | None) -> None:
    """Raise JournalUnusable for what a newer version wrote."""
    if version is not None and version > FORMAT:
        raise JournalUnusable(
            f"The journal {path} was written by a newer version (format {version}, this one knows {FORMAT}). "
            "Run that version, or set journal.path to a new folder."
        )


def _state(folder: Folder, name: str) -> dict[str, Any] | None:
    data = folder.read(name)
    content = None if data is None else unsealed(data)
    if data is not None and content is None:
        log.error("journal_state_damaged", file=name)
    return content


def _segment(folder: Folder, name: str) -> Segment:
    size, changed_at, head = 0, time.time(), b""
    try:
        found = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
        size, changed_at = found.st_size, found.st_mtime
        with folder.opened(name) as fd:
            head = os.pread(fd, HEADER_BYTES, 0)
    except OSError as error:  # the records are waited for when they are read
        if isinstance(error, (PermissionError, Foreign)):  # that is no damage, and somebody can mend it
            raise
    refuse_newer(folder.path, format_of(head))
    if format_of(head) is None and size >= HEADER_BYTES:  # a shorter one was torn, and is cut
        log.error("journal_header_damaged", file=name)
    first = int(name.removesuffix(".log"))
    return Segment(first, first - 1, size, time.monotonic() - max(0.0, time.time() - changed_at))


def _cut(folder: Folder, segment: Segment, end: int) -> None:
    with folder.opened(segment.name, os.O_WRONLY) as fd:
        os.ftruncate(fd, end)
        os.fsync(fd)
    segment.size = end


def _sync(folder: Folder, found: Recovered) -> None:
    """Sync the segment that may hold the first number above the synced ones, and all later ones."""
    place = bisect_right(found.segments, found.progress.synced + 1, key=lambda segment: segment.first)
    for segment in found.segments[max(0, place - 1) :]:
        with segment.opened(folder) as fd:
            if fd is not None:
                os.fdatasync(fd)
    folder.sync()


def counted(progress: Progress, last: int, marks: Sequence[Mark]) -> Tally:
    """Return what became of the numbers up to `last`, by the saved progress and these marks."""
    tally = Tally(progress.watermark, last, progress.lost, marks)
    # Each segment begins with the numbers that were finished, in case the progress cannot be read.
    finished = max((mark.last_seq for mark in marks if not mark.lost), default=0)
    tally.watermark = max(tally.watermark, min(finished, tally.last))
    return tally
