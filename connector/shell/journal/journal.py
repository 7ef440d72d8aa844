"""The journal as the rest of the program sees it: frames go in, and come out in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.journal.loss import Loss
from connector.core.journal.memory import FRAME_BYTES
from connector.core.journal.record import Block, Key, LossReason, Mark
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import syncing, trouble
from connector.shell.journal.earlier import take_over
from connector.shell.journal.folder import Folder
from connector.shell.journal.frame_source import FrameSource
from connector.shell.journal.opening import open_folder
from connector.shell.journal.recovery import Recovered
from connector.shell.journal.start import Start
from connector.shell.journal.state import State
from connector.shell.journal.syncing import Syncing
from connector.shell.journal.writing import Writing

log = structlog.get_logger("connector.journal")

FRAMES_A_TURN: Final = 256  # after so many, the reader of the feed gives the loop a turn
CLOSE_SECONDS = 5.0  # how long a stop waits for a slow disk


class Journal(State):
    """Frames in receive order, numbered from 1. Every frame up to `watermark` is finished."""

    def __init__(
        self, folder: Folder, found: Recovered, settings: JournalSettings, on_loss: Callable[[Loss], None]
    ) -> None:
        super().__init__(folder, found, settings, on_loss)
        self._writing = Writing(self)
        self._syncing = Syncing(self, self._writing, settings.sync_seconds)
        self._source = FrameSource(self)
        self._workers = [self._writing.worker, self._syncing.worker, self._source.worker]
        self.is_saved = True  # false after a close that could not save everything
        self.lanes_at_start = found.progress.lanes
        self._turn = asyncio.Lock()
        steps = (self._writing.write_all, self._syncing.sync_in_time, self.losses.report_in_time)
        self._tasks = [
            asyncio.create_task(self.trouble.for_ever(step), name=f"journal-{step.__name__}") for step in steps
        ]

    @classmethod
    async def open(
        cls, settings: JournalSettings, on_loss: Callable[[Loss], None], stop: asyncio.Event | None = None
    ) -> Self:
        """Open the journal; wait a while if another process holds it.

        Raises JournalUnusable, and Unopened if `stop` is set during that wait, during the import of
        an earlier journal, or while the disk hangs.
        """
        start = Start(stop or asyncio.Event())
        try:
            place, folder, found = await open_folder(settings.path, start)
            journal = cls(folder, found, settings, on_loss)
            try:
                if place.earlier:
                    await take_over(place.earlier, journal, start)
            except BaseException:
                await journal.close()
                raise
        finally:
            start.end()
        return journal

    # -- called by the reader of the feed ----------------------------------------------------------

    def append(self, frame: Received) -> None:
        """Give a frame its number, and have it written without waiting for it."""
        most = syncing.MEMORY_BYTES - len(frame.raw) - FRAME_BYTES
        if self.memory.bytes > most:
            self._syncing.trim(most)
            self.memory.forget(self.tally.watermark)
            if self.memory.bytes > most:
                self.give_up(frame, "disk")
                return
        self.tally.last += 1
        self.memory.add_frame(self.tally.last, frame)
        self._writing.wake()

    @property
    def is_overdue(self) -> bool:
        """Whether it is time for `room`: for all sessions while one of them waits there."""
        return self._turn.locked() or not self.tally.last % FRAMES_A_TURN

    async def room(self) -> None:
        """Give the loop a turn, however many frames of however many sessions there are to read."""
        async with self._turn:
            await asyncio.sleep(0)

    def keep_key(self, slot: int, session: int, key: CipherKey) -> None:
        """Keep a session's cipher key; it is written before every later frame."""
        kept = Key(self.tally.last, slot, session, key)
        self.ring.add(kept)
        self.memory.add(kept)
        self._writing.wake()

    # -- called by delivery ------------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return up to `limit` of them.

        While the disk fails, frames that are not written are returned from memory. An empty block
        means that no frame after `after` and up to its `last_seq` can be read.
        """
        return await self._source.read(after, limit)

    async def read_again(self, after: int, through: int, limit: int) -> Block:
        """Return up to `limit` frames with `after` < number <= `through`, or as `read` does."""
        return await self._source.read_again(after, through, limit)

    def keys(self, slot: int, session: int) -> Sequence[CipherKey]:
        """Return the session's cipher keys, newest first."""
        return self.ring.get(slot, session)

    def advance(self, watermark: int) -> None:
        """Record that every frame up to this number is finished."""
        self.tally.watermark = max(self.tally.watermark, min(watermark, self.tally.last))

    def lose(self, seq: int, frame: Received) -> None:
        """Count a frame as lost, just before `advance` passes it: Kafka refused its dead letter."""
        self.losses.lose(Block(seq, [frame]), "dead_letter_refused")

    def watch_lanes(self, lanes: Callable[[], Mapping[str, int]]) -> None:
        """Save with each progress the watermarks that this returns, by lane."""
        self._syncing.lanes = lanes

    # -- small texts, saved for the next process ---------------------------------------------------

    async def save(self, name: str, value: str) -> None:
        """Save a small text under a name for the next start, as soon as the disk takes it."""
        await self._syncing.save(name, value)

    async def saved(self, name: str) -> str | None:
        """Return the text saved under a name."""
        return self.texts.get(name)

    # -- losses ------------------------------------------------------------------------------------

    def give_up(self, frame: Received, reason: LossReason) -> None:
        """Give a received frame its number, and count it as lost."""
        self.tally.last += 1
        self.losses.lose(Block(self.tally.last, [frame]), reason)
        self.memory.add(Mark(self.tally.last, self.tally.last, reason))
        self._writing.wake()

    def miss(self, numbers: int) -> None:
        """Give so many numbers to frames that cannot be read, and count them as lost."""
        if numbers:
            first, last = self.tally.last + 1, self.tally.last + numbers
            self.losses.miss(first, last)
            self.memory.add(Mark(first, last, "corrupt"))
            self._writing.wake()

    def report_losses(self) -> None:
        """Report the losses not yet reported, as before a stop."""
        self.losses.report()

    @property
    def is_alive(self) -> bool:
        """Whether the threads and tasks run; a failing disk does not end them."""
        return all(worker.is_alive for worker in self._workers) and not any(task.done() for task in self._tasks)

    async def on_disk(self, seconds: float) -> bool:
        """Wait at most `seconds` until all is on the disk, and return whether it is."""
        return await self._syncing.finish(seconds)

    async def close(self) -> None:
        """Write and sync what is left, and release the lock; does not wait for a hanging disk."""
        self.is_saved = await self.on_disk(trouble.SLOW_SECONDS if self.trouble.problems else CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        calls = [worker.run(_nothing) for worker in self._workers]
        _, busy = await asyncio.wait(calls, timeout=trouble.SLOW_SECONDS)
        for worker in self._workers:
            worker.stop()
        if not busy:
            self.log.close()
        if not self.is_saved:
            frames = min(self.pending, self.tally.last - self.tally.synced)
            log.error("journal_close_failed", error=self.write_error, frames=frames)


def _nothing() -> None:
    """Do nothing; when this returns, the thread has done all earlier work."""
