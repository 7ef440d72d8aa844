"""Brings frames from memory to the log."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final

from connector.core.journal.memory import Memory
from connector.core.journal.record import Block, Item, Key
from connector.core.journal.tally import Tally
from connector.shell.journal import trouble
from connector.shell.journal.log import Full, Log
from connector.shell.journal.trouble import Trouble
from connector.shell.worker import Worker

WRITE_BYTES: Final = 2**20  # at most so much in one write
# A write to the system's memory takes some 10 us. To wake the loop afterwards costs more than that,
# so the loop waits this long for a small write. A slow disk makes it wait in vain once a write,
# until the write counts as trouble.
PATIENCE_SECONDS: Final = 0.0002
PATIENCE_BYTES: Final = 16 * 2**10  # during a larger write the loop does something else


class Writing:
    """Writes what is in memory; the log has every number up to `written`.

    `finished` is the watermark that is on the disk. `folder_free` is held while the folder is
    written to. A full log waits for `new_progress`, which may free segments, and calls `on_full`
    with the frames that are lost. `keys` returns the keys that frames after a number may need.
    `trim` bounds the memory after each write, because a sync that hangs does not stop the writes.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one argument for each neighbour
        self,
        log: Log,
        memory: Memory,
        tally: Tally,
        problems: Trouble,
        keys: Callable[[int], Iterable[Key]],
        on_full: Callable[[Block], None],
    ) -> None:
        self.log = log
        self.worker = Worker("journal-writer")
        self.written = tally.last
        self.finished = 0
        self.folder_free = asyncio.Lock()
        self.new_progress: Callable[[], Awaitable[None]] = _at_once
        self.trim: Callable[[], None] = _nothing
        self._memory = memory
        self._tally = tally
        self._trouble = problems
        self._keys = keys
        self._on_full = on_full
        self._wake = asyncio.Event()
        self._lacks_room = False

    @property
    def readable(self) -> int:
        """Frames up to this number may be delivered: while the disk fails, from memory."""
        return self._tally.last if self._trouble.problems else self.written

    @property
    def is_done(self) -> bool:
        """Whether the log has all that it needs, or has room for."""
        return self._lacks_room or self._memory.finished_after(self.written) >= self._tally.last

    def wake(self) -> None:
        """Have what was added to the memory written soon."""
        self._wake.set()
        if self._trouble.problems:
            self._trouble.changed.set()

    def keys(self) -> list[Key]:
        """Return the keys with which a new segment begins."""
        return list(self._keys(self.finished))

    async def write_all(self) -> None:
        """Wait for something to write, and write until nothing is left."""
        await self._wake.wait()
        self._wake.clear()
        self._lacks_room, is_fresh, most = False, False, WRITE_BYTES
        while self._memory.unwritten:
            try:
                async with self.folder_free:
                    await self._write(most)
                is_fresh, most = False, WRITE_BYTES
            except Full as full:
                self._trouble.end("write")
                self._memory.drop(self._tally.watermark, None)
                if not is_fresh:  # a newer progress may free segments
                    await self.new_progress()
                    is_fresh = True
                elif most == WRITE_BYTES and full.room > 0:
                    most = full.room
                elif not self._lose_unwritten():
                    self._lacks_room = True  # for marks, which wait; `progress` has the latest
                    return
            except OSError as error:
                self._trouble.note("write", str(error))
                self._memory.drop(self._tally.watermark, None)
                await asyncio.sleep(trouble.RETRY_SECONDS)

    async def _write(self, most: int) -> None:
        is_quick = self._memory.unwritten_bytes < PATIENCE_BYTES and not self._trouble.problems
        items = self._memory.take(most)
        try:
            written = self.worker.run(
                self.log.write,
                items,
                self.keys(),
                self.finished,
                then=partial(self._wrote, items),
                patience=PATIENCE_SECONDS if is_quick else 0,
            )
            if written.done():
                written.result()
                return
            with self._trouble.watched("write"):
                await written
        except BaseException:
            self._memory.failed()
            self._wake.set()  # whatever happened, it is tried again
            raise

    def _wrote(self, items: Sequence[Item]) -> None:
        self._memory.wrote()
        self.written = max(self.written, *(item.last_seq if isinstance(item, Block) else item.seq for item in items))
        self.trim()
        self._trouble.end("write")
        self._trouble.changed.set()

    def _lose_unwritten(self) -> bool:
        """Give up the newest frames, for which there is no room; return whether there were any."""
        dropped = self._memory.drop(self._tally.last, "journal_full")
        for block in dropped:
            self._on_full(block)
        self._trouble.changed.set()
        return bool(dropped)


async def _at_once() -> None:
    """Wait for nothing."""


def _nothing() -> None:
    """Do nothing."""
