"""Reads records and frames from segments."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from connector.core.journal.record import Block, Key, Mark, Record, take
from connector.core.ticks.frame import Received
from connector.shell.journal.folder import Folder
from connector.shell.journal.segment import Segment, given

CHUNK: Final = 256 * 1024
READ_BYTES: Final = 2**20  # of frames in one block; the last one may exceed it


class Found(NamedTuple):
    """What a read found: frames, numbers that should have been there, marks and keys."""

    block: Block
    missing: list[range]
    marks: list[Mark]
    keys: list[Key]


def read(folder: Folder, segments: Sequence[Segment], after: int, before: int, limit: int) -> Found:
    """Return consecutive frames with `after` < number < `before`, from one segment.

    They are at most `limit`, and about READ_BYTES. A number is in the last segment that can hold
    it. The block begins after numbers that cannot be read. If it is empty, its `last_seq` is the
    last number searched. Raises OSError.
    """
    place = bisect_right(segments, after + 1, key=lambda segment: segment.first) - 1
    if place < 0:
        first = min(segments[0].first, before) if segments else before
        return Found(Block(first, []), [range(after + 1, first)], [], [])
    if place + 1 < len(segments):
        before = min(before, segments[place + 1].first)
    segment = segments[place]
    with segment.opened(folder) as fd:
        if fd is not None:
            found = records(fd, segment.index, after, segment.note_damage, segment.pread)
            return _search(found, after, before, limit)
    return Found(Block(before, []), [range(after + 1, before)], [], [])


def records(
    fd: int,
    index: list[tuple[int, int]],
    after: int = 0,
    on_skipped: Callable[[int], object] = abs,
    pread: Callable[[int, int, int], bytes] = given,
) -> Iterator[tuple[int, int, Record]]:
    """Yield a segment's records from `after` on, or from a little before, and where each is.

    `index` gets a place in each chunk. `on_skipped` is told how many bytes before a record are no
    record. `pread` reads the file as os.pread does, and may raise OSError.
    """
    highest, at = index[max(0, bisect_right(index, (after, 1 << 62)) - 1)]
    size, sound = CHUNK, at
    while True:
        data = pread(fd, size, at)
        is_end = len(data) < size
        found, used = take(data, highest, is_end=is_end)
        for begin, end, record in found:
            if at + begin != sound:
                on_skipped(at + begin - sound)
            highest, sound = max(highest, record.seq), at + end
            yield at + begin, sound, record
        if is_end:
            return
        at += used
        size = CHUNK if used else 2 * size
        if at > index[-1][1] and at == sound:
            index.append((highest, at))


class Scan(NamedTuple):
    """All records of a segment; the last of them ends at `end`, which is 0 if there is none."""

    frames: list[range]
    marks: list[Mark]
    keys: list[Key]
    last: int
    end: int


def scan(
    fd: int,
    index: list[tuple[int, int]],
    on_skipped: Callable[[int], object],
    pread: Callable[[int, int, int], bytes] = given,
) -> Scan:
    """Return what a whole segment holds. Raises what `pread` does."""
    frames, marks, keys = list[range](), list[Mark](), list[Key]()
    last, end = index[0][0], 0
    for _, end, record in records(fd, index, 0, on_skipped, pread):  # noqa: B007 - the last one is the result
        if isinstance(record, Key):
            keys.append(record)
            continue
        last = max(last, record.seq)
        if isinstance(record, Mark):
            marks.append(record)
        elif frames and frames[-1].stop == record.seq:
            frames[-1] = range(frames[-1].start, record.seq + 1)
        else:
            frames.append(range(record.seq, record.seq + 1))
    return Scan(frames, marks, keys, last, end)


def _search(found: Iterator[tuple[int, int, Record]], after: int, before: int, limit: int) -> Found:
    first, frames, size = after + 1, list[Received](), 0
    result = Found(Block(first, frames), [], [], [])
    for _, _, record in found:
        expected = first + len(frames)
        if isinstance(record, Key):
            result.keys.append(record)
        elif isinstance(record, Mark):
            result.marks.append(record)
            if record.first_seq <= expected <= record.last_seq:
                if frames:
                    break
                first = min(record.last_seq + 1, before)
        elif record.seq >= expected:
            is_full = len(frames) == limit or size >= READ_BYTES
            if record.seq >= before or is_full or (frames and record.seq > expected):
                break
            if record.seq > expected:
                result.missing.append(range(expected, record.seq))
                first = record.seq
            frames.append(record.received)
            size += len(record.received.raw)
    if not frames and first < before:
        result.missing.append(range(first, before))
        first = before
    return result._replace(block=Block(first, frames))
