"""The frames in memory: those that are not on the disk yet, and the latest others for delivery."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from connector.core.journal.record import RECORD_BYTES, Block, Item, Key, LossReason, Mark
from connector.core.ticks.frame import Received

FRAME_BYTES: Final = 150  # what Python needs for a frame beside its bytes
BLOCK_FRAMES: Final = 1024  # waiting frames are in few blocks, but a read that slices one is quick


class Memory:
    """Every frame above `floor` that is not lost is here.

    `unwritten` is what the log does not have yet, in order. `bytes` and `unwritten_bytes` estimate
    the memory in use.
    """

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.unwritten: list[Item] = []
        self.unwritten_bytes = 0
        self.bytes = 0
        self._written: list[Block] = []
        self._growing: list[Received] | None = None  # the frames of the last unwritten block, if more may follow
        self._taken = 0

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
        latest = self.unwritten[-1] if len(self.unwritten) > self._taken else None
        match latest, item:
            case (Mark(start, last, lost), Mark(first, _, again)) if (last + 1, lost) == (first, again):
                self.unwritten[-1] = Mark(start, item.last, lost)
            case _:
                self.unwritten.append(item)

    def _count(self, item: Item, sign: int) -> None:
        size = sign * memory_bytes(item)
        self.bytes += size
        self.unwritten_bytes += size

    # -- to the log --------------------------------------------------------------------------------

    def take(self, most_bytes: int) -> list[Item]:
        """Return what the log gets next: one item, and more up to this many bytes."""
        items, self._growing = list[Item](), None
        for item in self.unwritten:
            size = log_bytes(item)
            if size > most_bytes and isinstance(item, Block):
                part = _beginning(item, most_bytes, at_least=0 if items else 1)
                items += [part] if part.frames else []
                break
            if size > most_bytes and items:
                break
            items.append(item)
            most_bytes -= size
        self._taken = len(items)
        return items

    def wrote(self, items: Sequence[Item]) -> None:
        """Note that the log has what `take` returned last."""
        self._taken = 0
        for place, item in enumerate(items):
            if not isinstance(item, Block):
                continue
            self.unwritten_bytes -= memory_bytes(item)
            self._written.append(item)
            whole = self.unwritten[place]
            if isinstance(whole, Block) and whole.last_seq > item.last_seq:  # only its beginning was taken
                self.unwritten[place] = Block(item.last_seq + 1, whole.frames[len(item.frames) :])
                del self.unwritten[:place]
                return
        del self.unwritten[: len(items)]

    def failed(self) -> None:
        """Note that the log did not get what `take` returned last."""
        self._taken = 0

    def drop_finished(self, watermark: int) -> None:
        """Replace finished frames that the log does not have by a mark."""
        kept, self._growing = list[Item](), None
        for item in self.unwritten:
            if not isinstance(item, Block) or item.first_seq > watermark:
                kept.append(item)
                continue
            through = min(item.last_seq, watermark)
            rest = Block(through + 1, item.frames[through + 1 - item.first_seq :])
            self._count(item, -1)
            self.floor = max(self.floor, through)
            kept.append(Mark(item.first_seq, through, None))
            if rest.frames:
                self._count(rest, 1)
                kept.append(rest)
        self.unwritten = _joined(kept)

    def finished_after(self, written: int) -> int:
        """Return the last number up to which the log has everything, or the frames are finished.

        The log has the numbers up to `written`.
        """
        for item in self.unwritten:
            if isinstance(item, Mark) and item.lost is None and item.first <= written + 1:
                written = max(written, item.last)
            elif not isinstance(item, Key):
                break
        return written

    def drop_unwritten(self, reason: LossReason) -> list[Block]:
        """Give up every frame that the log does not have: a mark takes its place. Return those."""
        dropped, self._growing = [item for item in self.unwritten if isinstance(item, Block)], None
        self.unwritten = _joined(
            [
                Mark(item.first_seq, item.last_seq, reason) if isinstance(item, Block) else item
                for item in self.unwritten
            ]
        )
        for item in dropped:
            self._count(item, -1)
        return dropped

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
        for item in self.unwritten:
            if isinstance(item, Block) and item.last_seq > after:
                yield item


def memory_bytes(item: Item) -> int:
    """Return about how much memory an item needs; keys and marks are few."""
    return sum(len(frame.raw) + FRAME_BYTES for frame in item.frames) if isinstance(item, Block) else 0


def log_bytes(item: Item) -> int:
    """Return at most how many bytes an item takes in the log; keys and marks are short."""
    if isinstance(item, Block):
        return sum(len(frame.raw) + RECORD_BYTES for frame in item.frames)
    return RECORD_BYTES + 128 + (len(item.key.key) + len(item.key.iv) if isinstance(item, Key) else 0)


def _beginning(block: Block, most_bytes: int, at_least: int) -> Block:
    count = 0
    for frame in block.frames:
        most_bytes -= len(frame.raw) + RECORD_BYTES
        if most_bytes < 0:
            break
        count += 1
    return Block(block.first_seq, block.frames[: max(count, at_least)])


def _between(block: Block, after: int, through: int) -> Block:
    if block.first_seq > after and block.last_seq <= through:
        return block
    first = max(block.first_seq, after + 1)
    return Block(first, block.frames[first - block.first_seq : max(0, through + 1 - block.first_seq)])


def _joined(items: list[Item]) -> list[Item]:
    found = list[Item]()
    for item in items:
        match found, item:
            case [*_, Mark(first, last, lost)], Mark(start, end, again) if (last + 1, lost) == (start, again):
                found[-1] = Mark(first, end, lost)
            case _:
                found.append(item)
    return found
