"""The journal as the rest of the program sees it: frames go in, and come out in order."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Self

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.journal.key_ring import KeyRing
from connector.core.journal.loss import Loss
from connector.core.journal.memory import FRAME_BYTES, Memory
from connector.core.journal.record import Block, Key, LossReason, Mark
from connector.core.journal.state import sealed
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import importer, syncing, trouble
from connector.shell.journal.figures import Figures
from connector.shell.journal.folder import Folder
from connector.shell.journal.frame_source import FrameSource
from connector.shell.journal.log import Log
from connector.shell.journal.loss_reports import LossReports
from connector.shell.journal.opening import open_folder
from connector.shell.journal.recovery import Recovered
from connector.shell.journal.syncing import Syncing, state_bytes
from connector.shell.journal.trouble import Trouble
from connector.shell.journal.writing import Writing

log = structlog.get_logger("connector.journal")

FRAMES_A_TURN: Final = 256  # after so many, the reader of the feed gives the loop a turn
CLOSE_SECONDS = 5.0  # how long a stop waits for a slow disk


class Journal(Figures):
    """Frames in receive order, numbered from 1. Every frame up to `watermark` is finished."""

    def __init__(
        self, folder: Folder, found: Recovered, settings: JournalSettings, on_loss: Callable[[Loss], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = Log(folder, found.segments, settings.max_bytes, settings.retain_hours * 3600)
        self._tally = found.tally
        self._memory = Memory(found.tally.last)
        self._keys = KeyRing()
        for key in found.keys:
            self._keys.add(key)
        self._trouble = Trouble()
        on_full = partial(self._count_lost, "journal_full")
        self._writing = Writing(self._log, self._memory, self._tally, self._trouble, self._keys.needed, on_full)
        self._syncing = Syncing(self._writing, self._memory, self._tally, self._trouble, settings.sync_seconds)
        self._syncing.texts = {str(name): str(text) for name, text in found.saved.get("texts", {}).items()}
        self._log.state_bytes = state_bytes(len(sealed(found.saved)))
        self._losses = LossReports(self._tally, self._syncing, on_loss)
        self._source = FrameSource(
            self._writing, self._memory, self._tally, self._keys, self._trouble, self._losses.note
        )
        self.is_saved = True  # false after a close that could not save everything
        self.lanes_at_start: Mapping[str, int] = found.progress.lanes if found.progress else {}
        self._turn = asyncio.Lock()
        steps = (self._writing.write_all, self._syncing.sync_in_time, self._losses.report_in_time)
        self._tasks = [
            self._loop.create_task(self._trouble.for_ever(step), name=f"journal-{step.__name__}") for step in steps
        ]

    @classmethod
    async def open(
        cls, settings: JournalSettings, on_loss: Callable[[Loss], None], stop: asyncio.Event | None = None
    ) -> Self:
        """Open the journal; wait a while if another process holds it.

        Raises JournalUnusable, and Unopened if `stop` is set during that wait.
        """
        place, folder, found = await open_folder(settings.path, stop or asyncio.Event())
        journal = cls(folder, found, settings, on_loss)
        try:
            if place.earlier:
                await importer.take_over(place.earlier, journal)
        except BaseException:
            await journal.close()
            raise
        return journal

    # -- called by the reader of the feed ----------------------------------------------------------

    def append(self, frame: Received) -> None:
        """Give a frame its number, and have it written without waiting for it."""
        if self._memory.unwritten_bytes + len(frame.raw) + FRAME_BYTES > syncing.MEMORY_BYTES:
            self.give_up(frame, "disk")
            return
        self._tally.last += 1
        self._memory.add_frame(self._tally.last, frame)
        self._writing.wake()

    @property
    def is_overdue(self) -> bool:
        """Whether it is time for `room`: for all sessions while one of them waits there."""
        return self._turn.locked() or not self._tally.last % FRAMES_A_TURN

    async def room(self) -> None:
        """Give the loop a turn, however many frames of however many sessions there are to read."""
        async with self._turn:
            await asyncio.sleep(0)

    def keep_key(self, slot: int, session: int, key: CipherKey) -> None:
        """Keep a session's cipher key; it is written before every later frame."""
        kept = Key(self._tally.last, slot, session, key)
        self._keys.add(kept)
        self._memory.add(kept)
        self._writing.wake()

    # -- called by delivery ------------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return up to `limit` of them.

        While the disk fails, frames that are not written are returned from memory. An empty block
        means that no frame after `after` and up to its `last_seq` can be read.
        """
        self._syncing.read_through = after
        return await self._source.read(after, limit)

    async def read_again(self, after: int, through: int, limit: int) -> Block:
        """Return up to `limit` frames with `after` < number <= `through`, or as `read` does."""
        return await self._source.read_again(after, through, limit)

    def keys(self, slot: int, session: int) -> Sequence[CipherKey]:
        """Return the session's cipher keys, newest first."""
        return self._keys.get(slot, session)

    def advance(self, watermark: int) -> None:
        """Record that every frame up to this number is finished."""
        self._tally.watermark = max(self._tally.watermark, min(watermark, self._tally.last))

    def lose(self, seq: int, frame: Received) -> None:
        """Count a frame as lost, just before `advance` passes it: Kafka refused its dead letter."""
        self._count_lost("dead_letter_refused", Block(seq, [frame]))

    def watch_lanes(self, lanes: Callable[[], Mapping[str, int]]) -> None:
        """Save with each progress the watermarks that this returns, by lane."""
        self._syncing.lanes = lanes

    # -- small texts, saved for the next process ---------------------------------------------------

    async def save(self, name: str, value: str) -> None:
        """Save a small text under a name for the next start, as soon as the disk takes it."""
        self._syncing.keep_text(name, value)
        await self._syncing.texts_saved()

    async def saved(self, name: str) -> str | None:
        """Return the text saved under a name."""
        return self._syncing.texts.get(name)

    # -- losses ------------------------------------------------------------------------------------

    def give_up(self, frame: Received, reason: LossReason) -> None:
        """Give a received frame its number, and count it as lost."""
        self._tally.last += 1
        self._count_lost(reason, Block(self._tally.last, [frame]))
        self._memory.add(Mark(self._tally.last, self._tally.last, reason))
        self._writing.wake()

    def _count_lost(self, reason: LossReason, block: Block) -> None:
        self._tally.lose(block.first_seq, block.last_seq, reason)
        for frame in block.frames:
            self._losses.note(Loss(frame.slot, reason, 1, len(frame.raw), frame.received_ns, frame.received_ns))

    def report_losses(self) -> None:
        """Report the losses not yet reported, as before a stop."""
        self._losses.report()

    @property
    def is_alive(self) -> bool:
        """Whether the threads and tasks run; a failing disk does not end them."""
        workers = (self._writing.worker, self._syncing.worker, self._source.worker)
        return all(worker.is_alive for worker in workers) and not any(task.done() for task in self._tasks)

    async def on_disk(self, seconds: float) -> bool:
        """Wait at most `seconds` until all is on the disk, and return whether it is."""
        return await self._syncing.finish(seconds)

    async def close(self) -> None:
        """Write and sync what is left, and release the lock; does not wait for a hanging disk."""
        self._losses.keep()
        self.is_saved = await self.on_disk(trouble.SLOW_SECONDS if self._trouble.problems else CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        workers = (self._writing.worker, self._syncing.worker, self._source.worker)
        _, busy = await asyncio.wait([worker.run(_nothing) for worker in workers], timeout=trouble.SLOW_SECONDS)
        for worker in workers:
            worker.stop()
        if not busy:
            self._log.close()
        if not self.is_saved:
            log.error("journal_close_failed", error=self.write_error, frames=self._tally.last - self.synced_seq)


def _nothing() -> None:
    """Do nothing; when this returns, the thread has done all earlier work."""
