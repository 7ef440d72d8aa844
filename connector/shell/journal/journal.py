"""The journal as the rest of the program sees it: frames go in, and come out in order."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.journal.key_ring import KeyRing
from connector.core.journal.loss import Loss, Losses
from connector.core.journal.memory import FRAME_BYTES, Memory
from connector.core.journal.record import Block, Key, LossReason, Mark
from connector.core.journal.state import sealed
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import importer, syncing, trouble
from connector.shell.journal.folder import Folder
from connector.shell.journal.log import Log
from connector.shell.journal.opening import open_folder
from connector.shell.journal.reading import Found, read
from connector.shell.journal.recovery import Recovered
from connector.shell.journal.syncing import Syncing, state_bytes
from connector.shell.journal.trouble import Trouble
from connector.shell.journal.worker import Worker
from connector.shell.journal.writing import Writing

log = structlog.get_logger("connector.journal")

GATHER_FRAMES: Final = 256  # after so many, the reader of the feed gives the loop a turn
FRAMES_A_READ = 4096  # many, because a hand-over to the reading thread takes a millisecond on a busy loop
LOSING_SECONDS = 60.0  # the longest time between two reports while frames are being lost
HOUSEKEEPING_SECONDS = 1.0
CLOSE_SECONDS = 5.0  # how long a stop waits for a slow disk
LOSSES: Final = "losses"


class Journal:
    """Frames in receive order, numbered from 1. Every frame up to `watermark` is finished."""

    def __init__(
        self, folder: Folder, found: Recovered, settings: JournalSettings, on_loss: Callable[[Loss], None]
    ) -> None:
        self.on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        self._log = Log(folder, found.segments, settings.max_bytes, settings.retain_hours * 3600)
        self._tally = found.tally
        self._memory = Memory(found.tally.last)
        self._keys = KeyRing()
        for key in found.keys:
            self._keys.add(key)
        self._trouble = Trouble()
        self._writing = Writing(self._log, self._memory, self._tally, self._trouble, self._keys.needed, self._note_full)
        self._syncing = Syncing(self._writing, self._memory, self._tally, self._trouble, settings.sync_seconds)
        self._syncing.texts = {
            str(name): str(text) for name, text in found.saved.get("texts", {}).items() if name != LOSSES
        }
        self._log.state_bytes = state_bytes(len(sealed(found.saved)))
        self._losses = _losses(found.saved.get("texts", {}).get(LOSSES))
        self._losing_since = self._loop.time()
        self._reader = Worker("journal-reader")
        self._ahead = Block(0, [])  # read from the log, for delivery's next reads
        self._gathered: list[Received] = []
        self._gathered_bytes = 0
        self.is_overdue = False
        self.is_saved = True  # false after a close that could not save everything
        self.lanes_at_start: Mapping[str, int] = found.progress.lanes if found.progress else {}
        self.was_alive_at = found.progress.alive_at if found.progress else None  # the last process, in ns
        steps = (self._writing.write_all, self._syncing.sync_in_time, self._report_losses_in_time)
        self._tasks = [
            self._loop.create_task(self._trouble.for_ever(step), name=f"journal-{step.__name__}") for step in steps
        ]

    @classmethod
    async def open(cls, settings: JournalSettings, on_loss: Callable[[Loss], None]) -> Self:
        """Open the journal; wait a while if another process holds it. Raises JournalUnusable."""
        place, folder, found = await open_folder(settings.path)
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
        size = len(frame.raw) + FRAME_BYTES
        if self._memory.unwritten_bytes + self._gathered_bytes + size > syncing.MEMORY_BYTES:
            self.lose(frame, "disk")
            return
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(frame)
        self._gathered_bytes += size
        self._tally.last += 1
        if len(self._gathered) >= GATHER_FRAMES:
            self.is_overdue = True

    def _flush(self) -> None:
        """Hand over what gathered in this turn of the loop."""
        if self._gathered:
            self._writing.add(Block(self._tally.last - len(self._gathered) + 1, self._gathered))
            self._gathered, self._gathered_bytes, self.is_overdue = [], 0, False

    async def room(self) -> None:
        """Give the loop a turn, in which the frames that gathered are handed over."""
        await asyncio.sleep(0)

    def keep_key(self, slot: int, session: int, key: CipherKey) -> None:
        """Keep a session's cipher key; it is written before every later frame."""
        self._flush()
        kept = Key(self._tally.last, slot, session, key)
        self._keys.add(kept)
        self._writing.add(kept)

    # -- called by delivery ------------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return up to `limit` of them.

        While the disk fails, frames that are not written are returned from memory. An empty block
        means that no frame after `after` and up to its `last_seq` can be read.
        """
        self._syncing.read_through = after
        while True:
            begin = self._tally.after_lost(after + 1) - 1
            if begin >= self._memory.floor:
                if block := self._memory.read(begin, self._writing.readable, limit):
                    return block
                if begin > after:
                    return Block(begin + 1, [])
                self._trouble.changed.clear()
                await self._trouble.changed.wait()
            elif self._ahead.first_seq <= begin + 1 <= self._ahead.last_seq:
                start = begin + 1 - self._ahead.first_seq
                return Block(begin + 1, self._ahead.frames[start : start + limit])
            else:
                self._ahead = await self._read_log(begin, self._writing.written + 1, FRAMES_A_READ)
                if not self._ahead.frames:
                    return self._ahead
                after = self._ahead.first_seq - 1

    async def read_again(self, after: int, through: int, limit: int) -> Block:
        """Return up to `limit` frames with `after` < number <= `through`, or as `read` does."""
        if after < self._memory.floor:
            return await self._read_log(after, min(through, self._writing.written) + 1, limit)
        return self._memory.read(after, through, limit) or Block(through + 1, [])

    async def _read_log(self, after: int, before: int, limit: int) -> Block:
        if before <= after + 1:  # neither in memory nor written: finished while the disk failed
            return Block(self._memory.floor + 1, [])
        found = await self._reader.run(read, self._log.folder, self._log.segments, after, before, limit)
        self._note(found)
        return found.block

    def _note(self, found: Found) -> None:
        for key in found.keys:
            self._keys.add_older(key)
        for first, last, reason in found.marks:
            if reason:
                self._tally.lose(first, last, reason)
        for missing in found.missing:
            for each in self._tally.lose(missing.start, missing.stop - 1, "corrupt"):
                self._note_loss(Loss(0, "corrupt", len(each), 0, time.time_ns(), time.time_ns()))

    def keys(self, slot: int, session: int) -> Sequence[CipherKey]:
        """Return the session's cipher keys, newest first."""
        return self._keys.get(slot, session)

    def advance(self, watermark: int) -> None:
        """Record that every frame up to this number is finished."""
        self._tally.watermark = max(self._tally.watermark, min(watermark, self._tally.last))

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

    def lose(self, frame: Received, reason: LossReason) -> None:
        """Give a received frame its number, and give it up."""
        self._flush()
        self._tally.last += 1
        self._count_lost(Block(self._tally.last, [frame]), reason)
        self._writing.add(Mark(self._tally.last, self._tally.last, reason))

    def _note_full(self, block: Block) -> None:
        self._count_lost(block, "journal_full")

    def _count_lost(self, block: Block, reason: LossReason) -> None:
        self._tally.lose(block.first_seq, block.last_seq, reason)
        for frame in block.frames:
            self._note_loss(Loss(frame.slot, reason, 1, len(frame.raw), frame.received_ns, frame.received_ns))

    def _note_loss(self, loss: Loss) -> None:
        if self._losses.add(loss):
            log.error("frames_lost", slot=loss.slot, reason=loss.reason)

    def report_losses(self) -> None:
        """Report the losses not yet reported.

        It is called when no more frames are lost, every minute while frames are being lost, and at
        a stop.
        """
        for loss in self._losses.take():
            self.on_loss(loss)

    async def _report_losses_in_time(self) -> None:
        before = self._tally.lost
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
        now = self._loop.time()
        if not self._losses.unreported:
            self._losing_since = now
        elif self._tally.lost == before or now - self._losing_since >= LOSING_SECONDS:
            self.report_losses()
            self._losing_since = now
        self._keep_losses()

    def _keep_losses(self) -> None:
        self._syncing.keep_text(LOSSES, json.dumps(self._losses.to_json()))

    # -- figures -----------------------------------------------------------------------------------

    @property
    def watermark(self) -> int:
        """Every frame up to this number is finished or lost."""
        return self._tally.watermark

    @property
    def last_seq(self) -> int:
        """The last number given."""
        return self._tally.last

    @property
    def committed_seq(self) -> int:
        """Frames up to this number are in the log."""
        return self._writing.written

    @property
    def synced_seq(self) -> int:
        """Frames up to this number are on the disk."""
        return self._syncing.synced

    @property
    def received(self) -> int:
        """Frames received over the life of the journal, including lost ones."""
        return self._tally.last

    @property
    def finished(self) -> int:
        """Frames acknowledged or dead-lettered over the life of the journal."""
        return self._tally.finished

    @property
    def pending(self) -> int:
        """Frames received that are neither finished nor lost."""
        return self._tally.pending

    @property
    def lost(self) -> dict[str, int]:
        """Frames lost over the life of the journal, by reason."""
        return self._tally.lost

    @property
    def kept(self) -> int:
        """Frames in the log, including delivered ones."""
        segments = self._log.segments
        return max(0, self.committed_seq - segments[0].first + 1) if segments else 0

    @property
    def used_bytes(self) -> int:
        """Bytes of all the journal's files."""
        return self._log.used_bytes

    @property
    def write_error(self) -> str | None:
        """What the disk does not do at present, or None."""
        return next(iter(self._trouble.problems.values()), None)

    @property
    def segments_retired(self) -> int:
        """Segments that were given up in this run because they could not be synced."""
        return self._syncing.retired

    @property
    def is_alive(self) -> bool:
        """Whether the threads and tasks run; a failing disk does not end them."""
        workers = (self._writing.worker, self._syncing.worker, self._reader)
        return all(worker.is_alive for worker in workers) and not any(task.done() for task in self._tasks)

    async def on_disk(self, seconds: float) -> bool:
        """Wait at most `seconds` until all is on the disk, and return whether it is."""
        self._flush()
        return await self._syncing.finish(seconds)

    async def close(self) -> None:
        """Write and sync what is left, and release the lock; does not wait for a hanging disk."""
        self._keep_losses()
        self.is_saved = await self.on_disk(trouble.SLOW_SECONDS if self._trouble.problems else CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        workers = (self._writing.worker, self._syncing.worker, self._reader)
        _, busy = await asyncio.wait([worker.run(_nothing) for worker in workers], timeout=trouble.SLOW_SECONDS)
        for worker in workers:
            worker.stop()
        if not busy:
            self._log.close()
        if not self.is_saved:
            log.error("journal_close_failed", error=self.write_error, frames=self._tally.last - self.synced_seq)


def _losses(saved: object) -> Losses:
    """Return the losses that the last process saved, or none if the text is unreadable."""
    try:
        return Losses(json.loads(str(saved or "[]")))
    except (TypeError, ValueError):
        log.warning("kept_losses_unreadable", kept=saved)
        return Losses()


def _nothing() -> None:
    """Do nothing; when this returns, the thread has done all earlier work."""
