"""The frames in memory: those that are not on the disk yet, and the latest others for delivery."""

from bisect import bisect_right
from itertools import chain
from operator import attrgetter
from typing import Final

from connector.core.journal.record import RECORD_BYTES, Block, Item, Key, LossReason, Mark
from connector.core.ticks.frame import Received

FRAME_BYTES: Final = 150  # what Python needs for a frame beside its bytes
BLOCK_FRAMES = 64  # waiting frames are in few blocks, but each is small for a write


class Memory:
    """Every frame above `floor` that is not lost is here; `bytes` estimates the memory in use.

    What waits for the log is in order, and the frames that the log has come before it. Delivery
    reads from number `read_through` on. `forgotten` is the last number that was finished before
    the log had its frame.
    """

    def __init__(self, floor: int) -> None:
        self.floor = self.read_through = floor
        self.forgotten = 0
        self.bytes = 0
        self._written: list[Block] = []
        self._waiting: list[Item] = []
        self._taken = 0  # so many of those that wait are being written
        self._had = floor  # the last number that the log had, though it may have lost it

    def add_frame(self, seq: int, frame: Received) -> None:
        """Add the next frame."""
        waiting = self._waiting
        last = waiting[-1] if len(waiting) > self._taken else None
        if isinstance(last, Block) and len(last.frames) < BLOCK_FRAMES and last.first_seq > self._had:
            last.frames.append(frame)
        else:
            waiting.append(Block(seq, [frame]))
        self.bytes += len(frame.raw) + FRAME_BYTES

    def add(self, item: Item) -> None:
        """Add what comes next; a mark extends the last one if it continues it."""
        last = self._waiting[-1] if len(self._waiting) > self._taken else None
        match last, item:
            case Mark(first, end, lost), Mark(start, through, again) if (end + 1, lost) == (start, again):
                self._waiting[-1] = Mark(first, through, lost)
            case _:
                self._waiting.append(item)

    # -- to the log --------------------------------------------------------------------------------

    @property
    def is_written(self) -> bool:
        """Whether nothing waits for the log."""
        return not self._waiting

    def settled(self, last: int) -> int:
        """Return up to which number the log has all that it needs, at most `last`."""
        return self._waiting[0].first_seq - 1 if self._waiting else last

    def take(self, most_bytes: float) -> list[Item]:
        """Return what the log gets next: one item, and more up to this many bytes."""
        self._taken = 0
        for item in self._waiting:
            most_bytes -= log_bytes(item)
            if most_bytes < 0 and self._taken:
                break
            self._taken += 1
        return self._waiting[: self._taken]

    def wrote(self) -> None:
        """Note that the log has what `take` returned last."""
        self._written += [item for item in self._waiting[: self._taken] if isinstance(item, Block)]
        self._had = max(self._had, self._waiting[self._taken - 1].last_seq)
        del self._waiting[: self._taken]
        self._taken = 0

    def failed(self) -> None:
        """Note that the log did not get what `take` returned last."""
        self._taken = 0

    def write_again(self, after: int) -> None:
        """Have the frames after a number written again; the log may have lost them."""
        again = [block for block in self._written if block.last_seq > max(after, self.forgotten)]
        del self._written[len(self._written) - len(again) :]
        self._waiting[:0] = again

    def forget(self, finished: int) -> None:
        """Drop waiting frames that are finished: the log needs no blocks up to this number."""
        for block in self._drop(0, finished, None):
            self.forgotten = max(self.forgotten, block.last_seq)
        self.floor = max(self.floor, self.forgotten)

    def lose(self, reason: LossReason) -> list[Block]:
        """Replace waiting blocks that the log never had by marks, and return them."""
        return self._drop(self._had, 1 << 63, reason)

    def _drop(self, after: int, through: int, lost: LossReason | None) -> list[Block]:
        waiting, self._waiting, dropped = self._waiting, [], list[Block]()
        for item in waiting:
            if not isinstance(item, Block) or item.first_seq <= after or item.last_seq > through:
                self.add(item)
                continue
            dropped.append(item)
            self.bytes -= memory_bytes(item)
            if lost:
                self.add(Mark(item.first_seq, item.last_seq, lost))
        return dropped

    def trim(self, on_disk: int, most_on_disk: int, most: int) -> None:
        """Drop written frames that are on the disk, if delivery had them or they are too many.

        The log is on the disk up to number `on_disk`. Others go only if all need over `most` bytes.
        """
        count = 0
        for block in self._written:
            is_on_disk = block.last_seq <= on_disk
            is_needed = not is_on_disk or block.last_seq > self.read_through
            if is_needed and self.bytes <= (most_on_disk if is_on_disk else most):
                break
            self.bytes -= memory_bytes(block)
            self.floor = max(self.floor, block.last_seq)
            count += 1
        del self._written[:count]

    # -- to delivery -------------------------------------------------------------------------------

    def read(self, after: int, through: int, limit: int) -> Block | None:
        """Return up to `limit` frames with `after` < number <= `through`, or None without one."""
        frames, first = list[Received](), 0
        place = max(0, bisect_right(self._written, after + 1, key=attrgetter("first_seq")) - 1)
        for item in chain(self._written[place:], self._waiting):
            if not isinstance(item, Block) or item.last_seq <= after:
                continue
            start = max(item.first_seq, after + 1)
            if start > through or (frames and start != first + len(frames)):
                break
            first = first or start
            end = min(through, start + limit - len(frames) - 1)
            frames += item.frames[start - item.first_seq : end + 1 - item.first_seq]
            if len(frames) == limit:
                break
        return Block(first, frames) if frames else None


def memory_bytes(block: Block) -> int:
    """Return about how much memory a block needs."""
    return sum(len(frame.raw) + FRAME_BYTES for frame in block.frames)


def log_bytes(item: Item) -> int:
    """Return at most how many bytes an item takes in the log; keys and marks are short."""
    if isinstance(item, Block):
        return sum(len(frame.raw) + RECORD_BYTES for frame in item.frames)
    return RECORD_BYTES + 128 + (len(item.key.key) + len(item.key.iv) if isinstance(item, Key) else 0)
