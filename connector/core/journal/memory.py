"""The frames in memory: those that are not on the disk yet, and the latest others for delivery."""

from bisect import bisect_right
from operator import attrgetter
from typing import Final

from connector.core.journal.record import RECORD_BYTES, Block, Item, Key, LossReason, Mark
from connector.core.ticks.frame import Received

FRAME_BYTES: Final = 150  # what Python needs for a frame beside its bytes
BLOCK_FRAMES = 64  # waiting frames are in few blocks, but each is small for a write


class Memory:
    """What the log gets, in order: every number above `floor` is in a block or a mark.

    The log has the first `_logged` items, the next `_taken` ones are on their way to it, and the
    others wait. Delivery reads from number `read_through` on. `bytes` estimates the memory in use.
    """

    def __init__(self, floor: int) -> None:
        self.floor = self.read_through = floor
        self.bytes = 0
        self._items: list[Item] = []
        self._logged = self._taken = 0
        self._growing: Item | None = None  # the last item, unless it is being written

    def add_frame(self, seq: int, frame: Received) -> None:
        """Add the next frame."""
        last = self._growing
        if isinstance(last, Block) and len(last.frames) < BLOCK_FRAMES:
            last.frames.append(frame)
        else:
            self._growing = block = Block(seq, [frame])
            self._items.append(block)
        self.bytes += len(frame.raw) + FRAME_BYTES

    def add(self, item: Item) -> None:
        """Add what comes next; a mark extends the last one if it continues it."""
        match self._growing, item:
            case Mark(first, end, lost), Mark(start, through, again) if (end + 1, lost) == (start, again):
                self._items[-1] = item = Mark(first, through, lost)
            case _:
                self._items.append(item)
        self._growing = item

    # -- to the log --------------------------------------------------------------------------------

    @property
    def is_written(self) -> bool:
        """Whether nothing waits for the log."""
        return self._logged == len(self._items)

    def settled(self, last: int) -> int:
        """Return up to which number, at most `last`, no frame waits for the log."""
        waiting = (self._items[place] for place in range(self._logged, len(self._items)))
        return next((item.first_seq - 1 for item in waiting if isinstance(item, Block)), last)

    def take(self, most_bytes: int, again: int) -> list[Item]:
        """Return what the log gets next: one item, and more up to this many bytes.

        What is written again, up to number `again`, comes whole.
        """
        self._growing, end = None, self._logged
        while end < len(self._items):
            most_bytes -= log_bytes(self._items[end])
            if most_bytes < 0 and end > self._logged and self._items[end].first_seq > again:
                break
            end += 1
        self._taken = end - self._logged
        return self._items[self._logged : end]

    def wrote(self, items: int) -> None:
        """Note that a write is over: the log has so many of the items that `take` returned."""
        self._logged += items
        self._taken = 0

    def write_again(self, after: int, finished: int) -> None:
        """Have the numbers after this one written again, the finished ones as marks.

        The log may have lost them. Newer frames come in blocks of their own.
        """
        self._logged = min(self._logged, self._place_after(after))
        self.forget(finished)
        self._growing = None

    def forget(self, finished: int) -> None:
        """Replace waiting blocks that are finished by marks, as the log needs no frame of them."""
        waiting = self._items[self._logged + self._taken : self._place_after(finished)]
        if any(isinstance(item, Block) for item in waiting):
            self._drop(0, finished, None)

    def _place_after(self, seq: int) -> int:
        """Return the place of the first item that does not end at or before this number."""
        return bisect_right(self._items, seq, key=attrgetter("last_seq"))

    def lose(self, had: int, reason: LossReason) -> list[Block]:
        """Replace waiting blocks by marks, and return them; the log had others up to `had`."""
        return self._drop(had, 1 << 63, reason)

    def _drop(self, after: int, through: int, lost: LossReason | None) -> list[Block]:
        start, dropped = self._logged + self._taken, list[Block]()
        waiting = self._items[start:]
        del self._items[start:]
        for item in waiting:
            if not isinstance(item, Block) or item.first_seq <= after or item.last_seq > through:
                self.add(item)
                continue
            dropped.append(item)
            self.bytes -= memory_bytes(item)
            self.add(Mark(item.first_seq, item.last_seq, lost))
        return dropped

    def trim(self, on_disk: int, most_on_disk: int, most: int) -> None:
        """Drop written frames that are on the disk, if delivery had them or they are too many.

        The log is on the disk up to number `on_disk`. Others go only if all need over `most` bytes.
        """
        count = 0
        while count < self._logged:
            item = self._items[count]
            is_on_disk = item.last_seq <= on_disk
            is_needed = not is_on_disk or item.last_seq > self.read_through
            if is_needed and self.bytes <= (most_on_disk if is_on_disk else most):
                break
            self.bytes -= memory_bytes(item)
            self.floor = item.last_seq
            count += 1
        del self._items[:count]
        self._logged -= count

    # -- to delivery -------------------------------------------------------------------------------

    def read(self, after: int, through: int, limit: int) -> Block | None:
        """Return up to `limit` frames with `after` < number <= `through`, or None without one."""
        frames, first = list[Received](), 0
        place = max(0, bisect_right(self._items, after + 1, key=attrgetter("first_seq")) - 1)
        for item in (self._items[each] for each in range(place, len(self._items))):
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


def memory_bytes(item: Item) -> int:
    """Return about how much memory an item needs; keys and marks are few."""
    return sum(len(frame.raw) + FRAME_BYTES for frame in item.frames) if isinstance(item, Block) else 0


def log_bytes(item: Item) -> int:
    """Return at most how many bytes an item takes in the log; keys and marks are short."""
    if isinstance(item, Block):
        return sum(len(frame.raw) + RECORD_BYTES for frame in item.frames)
    return RECORD_BYTES + 128 + (len(item.key.key) + len(item.key.iv) if isinstance(item, Key) else 0)
