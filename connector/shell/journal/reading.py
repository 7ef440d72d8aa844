"""Reads blocks, keys and marks from segments."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from connector.core.journal.record import Block, Item, Key, Mark, take
from connector.core.ticks.frame import Received
from connector.shell.journal.folder import Folder
from connector.shell.journal.segment import Segment, given

CHUNK: Final = 256 * 1024
READ_BYTES: Final = 4 * CHUNK  # of one read; its last chunk may exceed it


class Found(NamedTuple):
    """What a read found: frames, the numbers before them that should be there, marks and keys."""

    block: Block
    missing: range
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
        return Found(Block(first, []), range(after + 1, first), [], [])
    if place + 1 < len(segments):
        before = min(before, segments[place + 1].first)
    segment = segments[place]
    with segment.opened(folder) as fd:
        if fd is not None:
            found = items(fd, segment.index, after, segment.note_damage, segment.pread)
            return _search(found, after, before, limit)
    return Found(Block(before, []), range(after + 1, before), [], [])


def items(
    fd: int,
    index: list[tuple[int, int]],
    after: int = 0,
    on_skipped: Callable[[int], object] = abs,
    pread: Callable[[int, int, int], bytes] = given,
) -> Iterator[tuple[int, int, Item]]:
    """Yield a segment's items from `after` on, or from a little before, and where each is.

    `index` gets a place behind each chunk that ends with a frame. `on_skipped` is told how many
    bytes before a record are no record. `pread` reads the file as os.pread does, and may raise
    OSError.
    """
    highest, at = index[max(0, bisect_right(index, (after, 1 << 62)) - 1)]
    size, sound = CHUNK, at
    while True:
        data = pread(fd, size, at)
        is_end = len(data) < size
        found, used = take(data, highest, is_end=is_end)
        following = max([highest, *(item.last_seq for _, _, item in found)]), at + used
        for begin, end, item in found:
            if at + begin != sound:
                on_skipped(at + begin - sound)
            sound = at + end
            # Only behind a block: a read that begins behind a key might never give it.
            if end == used and not is_end and sound > index[-1][1] and isinstance(item, Block):
                index.append(following)
            yield at + begin, sound, item
        if is_end:
            return
        highest, at = following
        size = CHUNK if used else 2 * size


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
    for _, end, item in items(fd, index, 0, on_skipped, pread):  # noqa: B007 - the last one is the result
        match item:
            case Key():
                keys.append(item)
                continue
            case Mark():
                marks.append(item)
            case Block(first, _):
                start = frames.pop().start if frames and frames[-1].stop == first else first
                frames.append(range(start, item.last_seq + 1))
        last = max(last, item.last_seq)
    return Scan(frames, marks, keys, last, end)


def _search(found: Iterator[tuple[int, int, Item]], after: int, before: int, limit: int) -> Found:
    needed, first, frames, size = after + 1, before, list[Received](), 0
    marks, keys = list[Mark](), list[Key]()
    for begin, end, item in found:
        expected = first + len(frames) if frames else needed
        match item:
            case Key():
                keys.append(item)
            case Mark(start, through, lost):
                marks.append(item)
                # Finished numbers are those up to a watermark, so none below them is needed either.
                if through >= needed and (lost is None or (not frames and start <= needed)):
                    needed = min(through + 1, before)
            case Block(start, some) if item.last_seq >= expected:
                if start > expected and (frames or start >= before):
                    break
                first = first if frames else max(start, expected)
                frames += some[max(0, expected - start) : min(before, first + limit) - start]
                size += end - begin
                # The next read begins behind keys and marks at the segment's end.
                if (len(frames) == limit or size >= READ_BYTES) and first + len(frames) < before:
                    break
    return Found(Block(first, frames), range(needed, first), marks, keys)
