"""The frames in memory: those that are not on the disk yet, and the latest others for delivery."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, takewhile
from typing import Final

from connector.core.journal.record import RECORD_BYTES, Block, Item, Key, LossReason, Mark
from connector.core.ticks.frame import Received

FRAME_BYTES: Final = 150  # what Python needs for a frame beside its bytes
BLOCK_FRAMES: Final = 1024  # waiting frames are in few blocks, but a read that slices one is quick


class Memory:
    """Every frame above `floor` that is not lost is here.

    `unwritten` is what the log does not have yet, in order, after what is being written. `bytes`
    and `unwritten_bytes` estimate the memory in use.
    """

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.unwritten: list[Item] = []
        self.unwritten_bytes = 0
        self.bytes = 0
        self._writing: list[Item] = []
        self._written: list[Block] = []
        self._growing: list[Received] | None = None  # the frames of the last unwritten block, if more may follow

    def add_frame(self, seq: int, frame: Received) -> None:
        """Add the next frame."""
        if self._growing is None or len(self._growing) >= BLOCK_FRAMES:
            self._growing = []
            self.unwritten.append(Block(seq, self._growing))
        self._growing.append(frame)
        size = len(frame.raw) + FRAME_BYTES
        self.bytes += size
        self.unwritten_bytes += size

    def add(self, item: Key | Mark) -> None:
        """Add what comes next."""
        self._growing = None
        _append(self.unwritten, item)

    # -- to the log --------------------------------------------------------------------------------

    def take(self, most_bytes: int) -> list[Item]:
        """Return what the log gets next: one item, and more up to this many bytes."""
        items, self._growing = list[Item](), None
        for item in self.unwritten:
            size = log_bytes(item)
            if size > most_bytes and isinstance(item, Block):
                part, rest = _split(item, max(_fitting(item.frames, most_bytes), 0 if items else 1))
                self.unwritten[len(items) : len(items) + 1] = [each for each in (part, rest) if each.frames]
                items += [part] if part.frames else []
                break
            if size > most_bytes and items:
                break
            items.append(item)
            most_bytes -= size
        del self.unwritten[: len(items)]
        self._writing = items
        return items

    def wrote(self) -> None:
        """Note that the log has what `take` returned last."""
        for item in self._writing:
            if isinstance(item, Block):
                self.unwritten_bytes -= memory_bytes(item)
                self._written.append(item)
        self._writing = []

    def failed(self) -> None:
        """Note that the log did not get what `take` returned last."""
        self.unwritten, self._writing, self._growing = self._writing + self.unwritten, [], None

    def drop(self, through: int, lost: LossReason | None) -> list[Block]:
        """Replace waiting frames up to a number by marks: finished, or lost. Return the frames."""
        dropped, kept, self._growing = list[Block](), list[Item](), None
        for item in self.unwritten:
            if not isinstance(item, Block) or item.first_seq > through:
                kept.append(item)
                continue
            gone, rest = _split(item, through + 1 - item.first_seq)
            dropped.append(gone)
            _append(kept, Mark(gone.first_seq, gone.last_seq, lost))
            kept += [rest] if rest.frames else []
        self.unwritten = kept
        size = sum(map(memory_bytes, dropped))
        self.bytes -= size
        self.unwritten_bytes -= size
        if dropped and not lost:
            self.floor = max(self.floor, dropped[-1].last_seq)
        return dropped

    def finished_after(self, written: int) -> int:
        """Return the last number up to which the log has everything, or the frames are finished.

        The log has the numbers up to `written`.
        """
        for item in chain(self._writing, self.unwritten):
            if isinstance(item, Mark) and item.lost is None and item.first <= written + 1:
                written = max(written, item.last)
            elif not isinstance(item, Key):
                break
        return written

    def written(self, after: int, through: int) -> list[Item]:
        """Return the written frames in memory with `after` < number <= `through`."""
        return [part for block in self._written if (part := _between(block, after, through)).frames]

    def trim(self, on_disk: int, needed_after: int, most_bytes: int, most_bytes_off_disk: int) -> None:
        """Drop written frames that are on the disk, if delivery had them or they are too many.

        The log is on the disk up to number `on_disk`. Delivery needs frames after `needed_after`.
        """
        count = 0
        for block in self._written:
            is_on_disk = block.last_seq <= on_disk
            most = most_bytes if is_on_disk else most_bytes_off_disk
            if self.bytes <= most and not (is_on_disk and block.last_seq <= needed_after):
                break
            self.bytes -= memory_bytes(block)
            self.floor = max(self.floor, block.last_seq)
            count += 1
        del self._written[:count]

    # -- to delivery -------------------------------------------------------------------------------

    def read(self, after: int, through: int, limit: int) -> Block | None:
        """Return up to `limit` frames with `after` < number <= `through`, or None without one."""
        frames, first = list[Received](), 0
        for block in self._blocks(after):
            part = _between(block, after, through)
            if not part.frames or (frames and part.first_seq != first + len(frames)):
                break
            first = first or part.first_seq
            frames += part.frames[: limit - len(frames)]
            if len(frames) == limit:
                break
        return Block(first, frames) if frames else None

    def _blocks(self, after: int) -> Iterator[Block]:
        place = max(0, bisect_right(self._written, after + 1, key=lambda block: block.first_seq) - 1)
        if place < len(self._written) and self._written[place].last_seq <= after:
            place += 1
        for at in range(place, len(self._written)):
            yield self._written[at]
        for item in chain(self._writing, self.unwritten):
            if isinstance(item, Block) and item.last_seq > after:
                yield item


def memory_bytes(block: Block) -> int:
    """Return about how much memory a block needs."""
    return sum(len(frame.raw) + FRAME_BYTES for frame in block.frames)


def log_bytes(item: Item) -> int:
    """Return at most how many bytes an item takes in the log; keys and marks are short."""
    if isinstance(item, Block):
        return sum(len(frame.raw) + RECORD_BYTES for frame in item.frames)
    return RECORD_BYTES + 128 + (len(item.key.key) + len(item.key.iv) if isinstance(item, Key) else 0)


def _fitting(frames: Sequence[Received], most_bytes: int) -> int:
    """Return how many of the frames take at most so many bytes in the log."""
    sizes = accumulate(len(frame.raw) + RECORD_BYTES for frame in frames)
    return sum(1 for _ in takewhile(most_bytes.__ge__, sizes))


def _split(block: Block, count: int) -> tuple[Block, Block]:
    first, frames = block
    return Block(first, frames[:count]), Block(first + count, frames[count:])


def _between(block: Block, after: int, through: int) -> Block:
    if block.first_seq > after and block.last_seq <= through:
        return block
    first = max(block.first_seq, after + 1)
    return Block(first, block.frames[first - block.first_seq : max(0, through + 1 - block.first_seq)])


def _append(items: list[Item], item: Item) -> None:
    """Append an item; a mark extends the last one if it continues it."""
    match items[-1:], item:
        case [Mark(first, last, lost)], Mark(start, end, again) if (last + 1, lost) == (start, again):
            items[-1] = Mark(first, end, lost)
        case _:
            items.append(item)
