"""Brings frames from memory to the log."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import structlog

from connector.core.journal.memory import log_bytes
from connector.core.journal.record import Item, Mark
from connector.shell.journal import trouble
from connector.shell.journal.log import Full
from connector.shell.journal.state import State
from connector.shell.worker import Worker

log = structlog.get_logger("connector.journal")

WRITE_BYTES: Final = 2**20  # at most so much in one write
# A write to the system's memory takes some 10 us. To wake the loop afterwards costs more than that,
# so the loop waits this long for a small write. A slow disk makes it wait in vain once a write,
# until the write counts as trouble.
PATIENCE_SECONDS: Final = 0.0002
PATIENCE_BYTES: Final = 16 * 2**10  # during a larger write the loop does something else


class Writing:
    """Writes what is in memory.

    `folder_free` is held while the folder is written to. A full log waits for `new_progress`, which
    may free segments.
    """

    new_progress: Callable[[], Awaitable[None]]

    def __init__(self, state: State) -> None:
        self.worker = Worker("journal-writer")
        self.folder_free = asyncio.Lock()
        self._state = state
        self._trouble = state.trouble
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Have what was added to the memory written soon."""
        self._wake.set()
        if self._trouble.problems:
            self._trouble.changed.set()

    async def write_all(self) -> None:
        """Wait for something to write, and write until nothing is left."""
        await self._wake.wait()
        self._wake.clear()
        memory, tally = self._state.memory, self._state.tally
        most_bytes, is_fresh = WRITE_BYTES, False
        while not memory.is_written:
            try:
                async with self.folder_free:
                    await self._write(most_bytes)
                most_bytes, is_fresh = WRITE_BYTES, False
            except Full as full:
                self._trouble.end("write")
                memory.forget(tally.watermark)
                if not is_fresh:  # a newer progress may free segments
                    await self.new_progress()
                    is_fresh = True
                elif most_bytes == WRITE_BYTES and full.room > 0:
                    most_bytes = full.room
                elif not self._lose_newest():  # what is left waits for room: `progress` has the latest marks
                    await asyncio.sleep(trouble.RETRY_SECONDS)
                    return
            except OSError as error:
                self._trouble.note("write", str(error))
                memory.forget(tally.watermark)
                await asyncio.sleep(trouble.RETRY_SECONDS)

    async def _write(self, most_bytes: int) -> None:
        state, saved = self._state, self._state.progress.watermark
        items = state.memory.take(most_bytes, state.tally.written)
        head = [*state.ring.needed(saved), *([Mark(1, saved, None)] if saved else [])]
        is_quick = len(items) == 1 and log_bytes(items[0]) < PATIENCE_BYTES and not self._trouble.problems
        try:
            written = self.worker.run(
                state.log.write,
                items,
                head,
                saved,
                then=partial(self._wrote, items),
                patience=PATIENCE_SECONDS if is_quick else 0,
            )
            if written.done():
                written.result()
                return
            with self._trouble.timed("write"):
                await written
        except BaseException:
            state.memory.wrote(0)
            self._wake.set()  # whatever happened, it is tried again
            raise

    def _wrote(self, items: Sequence[Item]) -> None:
        tally = self._state.tally
        self._state.memory.wrote(len(items))
        tally.written = max(tally.written, items[-1].last_seq)
        self._trouble.end("write")
        self._trouble.changed.set()

    def _lose_newest(self) -> bool:
        """Give up the frames that the log never had; return whether there were any."""
        dropped = self._state.memory.lose(self._state.tally.written, "journal_full")
        for block in dropped:
            self._state.losses.lose(block, "journal_full")
        self._trouble.changed.set()
        return bool(dropped)

    async def write_again(self) -> None:
        """Have a new segment written with all that the disk may not have, as a sync has failed."""
        state = self._state
        async with self.folder_free:
            for name in await self.worker.run(state.log.retire):
                state.segments_retired += 1
                log.error("journal_segment_retired", file=name, synced=state.tally.synced)
            state.memory.write_again(state.tally.synced, state.tally.watermark)
            self.wake()
