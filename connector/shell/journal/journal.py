"""The journal as the event loop uses it: frames go in without waiting and come out in order."""

import asyncio
import json
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from itertools import islice
from typing import Literal, Self

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal.file import Block, JournalFile, SessionKey, is_unfit
from connector.shell.journal.salvage import Salvage

log = structlog.get_logger("connector.journal")

UNCOMMITTED_FRAMES = 4096  # above this a commit is overdue, and the reader of the feed waits
UNCOMMITTED_BYTES = 64 * 2**20  # limit of frames in memory while the disk fails
WINDOW_BYTES = 16 * 2**20  # committed frames in memory, for delivery
FRAMES_A_READ = 4096  # many, because a hand-over to the reading thread takes a millisecond on a busy loop
PROGRESS_SECONDS = 0.25  # after a kill, records acknowledged within this time may be sent again
HOUSEKEEPING_SECONDS = 1.0
RETRY_SECONDS = 0.5
WAL_BYTES = 64 * 2**20
CHECKPOINT_BYTES = 4 * 2**20
LOSING_SECONDS = 60.0  # the longest time between two reports while frames are being lost
PRUNE_ABOVE = 0.75  # of max_bytes; the rest holds what arrives between two housekeeping rounds
LOSSES = "losses"  # the saved text of this name holds the losses not yet reported
CHECKPOINT_SECONDS = 5.0  # a power failure loses what was committed since the last checkpoint

LossReason = Literal["journal_full", "disk", "corrupt", "dead_letter_refused"]
NUMBERED = ("corrupt", "dead_letter_refused")  # frames with these reasons were numbered before they were lost


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames of one slot that were received but given up.

    The first was received at `from_ns`, the last at `to_ns`.
    """

    slot: int
    reason: LossReason
    frames: int
    bytes: int
    from_ns: int
    to_ns: int

    def with_later(self, later: "Loss") -> "Loss":
        """Return this loss merged with a later one of the same slot and reason."""
        return Loss(
            self.slot, self.reason, self.frames + later.frames, self.bytes + later.bytes, self.from_ns, later.to_ns
        )


class Journal:
    """Frames in receive order, numbered from 1.

    Every frame up to `watermark` is finished. Moving the watermark deletes no frame. A commit takes
    all frames that arrived in one turn of the loop, or during the previous commit.
    """

    def __init__(self, file: JournalFile, settings: JournalSettings, on_loss: Callable[[Loss], None]) -> None:
        self._file = file
        self._settings = settings
        self.on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        self._writer = ThreadPoolExecutor(1, "journal-writer")
        self._reader = ThreadPoolExecutor(1, "journal-reader")
        progress = file.progress()
        self.watermark = progress.get("watermark", 0)
        # Frames delivered from memory while the disk failed are counted in the watermark only.
        self.last_seq = max(file.last_seq(), self.watermark)
        self.lost = {name.removeprefix("lost_"): count for name, count in progress.items() if name.startswith("lost_")}
        self._saved_progress = progress
        self._keys: defaultdict[tuple[int, int], list[CipherKey]] = defaultdict(list)
        for slot, session, key in file.cipher_keys():
            self._keys[slot, session].insert(0, key)
        self._frames: list[Received] = []
        self._frames_bytes = 0
        self._new_keys: list[SessionKey] = []
        self._frames_from = self.last_seq + 1
        self._committing: asyncio.Task[None] | None = None
        self._commit_scheduled = False
        self._progress_timer: asyncio.TimerHandle | None = None
        self._progress_is_due = False
        self._condemned: set[int] = set()
        self._unmarked: set[int] = set()
        self._given_up = list(file.given_up)  # counted in `lost`; some may be above the watermark
        self._file_lock = asyncio.Lock()  # held while the file is written or replaced
        self._is_closed = False
        self.set_aside = 0
        self._window: deque[Block] = deque()
        self._window_bytes = 0
        self._window_end = self.last_seq
        self._arrival = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.is_overdue = False
        self.used_bytes = file.used_bytes()
        self.first_seq = 0  # 0 in an empty file, and before the first housekeeping
        self._since_measured = 0
        self._checkpointed_seq = self.last_seq
        self._checkpoint_due = 0.0
        self._losing = {(loss.slot, loss.reason): loss for loss in _losses(file.saved(LOSSES))}
        self._saved_losing = self._losing.copy()
        self._losing_since = self._loop.time()
        self._unsaved_texts: dict[str, str] = {}
        self.write_error: str | None = None
        if file.salvage:
            self._note_set_aside(file.salvage, "its content is damaged")  # `progress` counts the unreadable frames
        self._housekeeper = self._loop.create_task(self._keep_house(), name="journal-housekeeping")
        self._check = self._loop.create_task(self._check_after_unclean_end(), name="journal-check")

    @classmethod
    async def open(cls, settings: JournalSettings, on_loss: Callable[[Loss], None]) -> Self:
        """Open the journal. Raises JournalUnusable."""
        file = await asyncio.to_thread(JournalFile.open, settings.path)
        mode = settings.path.parent.stat().st_mode
        if mode & 0o077:
            log.warning(
                "journal_folder_open", path=str(settings.path.parent), mode=f"{mode & 0o777:o}", fix="chmod 700"
            )
        return cls(file, settings, on_loss)

    # -- called by the reader of the feed ---------------------------------------------------------

    def append(self, frame: Received) -> None:
        """Add one frame, and start its commit without waiting for it."""
        size = len(frame.raw)
        if self.used_bytes + self._since_measured + size > self._settings.max_bytes:
            self._lose(frame, "journal_full")
            return
        if self._frames_bytes + size > UNCOMMITTED_BYTES:
            self._lose(frame, "disk")
            return
        self._frames.append(frame)
        self._frames_bytes += size
        self._since_measured += size
        self.last_seq += 1
        if not self._commit_scheduled:
            self._commit_scheduled = True
            self._loop.call_soon(self._commit)
        elif self.write_error is not None:
            self._arrival.set()  # while the disk fails, delivery reads from memory
        elif len(self._frames) >= UNCOMMITTED_FRAMES and not self.is_overdue:
            self.is_overdue = True
            self._room.clear()

    async def room(self) -> None:
        """Wait until a commit has made room, or until the disk is known to fail."""
        await self._room.wait()

    def keep_key(self, slot: int, session: int, key: CipherKey) -> None:
        """Keep a session's cipher key; no later frame is committed before it."""
        self._keys[slot, session].insert(0, key)
        self._new_keys.append(SessionKey(slot, session, key))

    # -- called by delivery -----------------------------------------------------------------------

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return up to `limit` of them.

        While the disk fails, frames that are not committed are returned from memory. An empty block
        means that no frame after `after` and up to its `last_seq` can be read.
        """
        while True:
            while self._window and self._window[0].last_seq <= after:
                self._window_bytes -= _bytes(self._window.popleft())
            if self._window and self._window[0].first_seq <= after + 1:
                return self._from_window(after, limit)
            self._clear_window(after)
            if after < self.committed_seq:
                after = await self._fill_window(after)
                if not self._window:
                    return Block(after + 1, [])
            elif self.write_error is not None and after < self.last_seq:
                return self._from_memory(after, self.last_seq, limit)
            else:
                self._arrival.clear()
                await self._arrival.wait()

    async def read_again(self, after: int, through: int, limit: int) -> Block:
        """Return up to `limit` frames with `after` < number <= `through`.

        The block begins after any damaged or pruned rows. An empty block means that no frame after
        `after` and up to its `last_seq` can be read.
        """
        if after >= self.committed_seq:
            return self._from_memory(after, through, limit)
        return await self._read_file(after, min(through, self.committed_seq) + 1, limit)

    def _from_memory(self, after: int, through: int, limit: int) -> Block:
        """Return frames that are only in memory, without those that were dropped as finished."""
        start = max(after + 1, self._frames_from)
        return Block(
            start,
            self._frames[
                start - self._frames_from : min(through + 1 - self._frames_from, start - self._frames_from + limit)
            ],
        )

    def keys(self, slot: int, session: int) -> Sequence[CipherKey]:
        """Return the session's cipher keys, newest first."""
        return self._keys.get((slot, session), ())

    def lose(self, frame: Received) -> None:
        """Count a frame as lost, just before `advance` passes it: Kafka refused its dead letter."""
        self._lose(frame, "dead_letter_refused")

    def advance(self, watermark: int) -> None:
        """Record that every frame up to this number is finished."""
        self.watermark = max(self.watermark, watermark)
        if self._progress_timer is None:
            self._progress_timer = self._loop.call_later(PROGRESS_SECONDS, self._save_progress)

    # -- small texts, saved for the next process ---------------------------------------------------

    async def save(self, name: str, value: str) -> None:
        """Save a small text under a name for the next start."""
        self._unsaved_texts[name] = value
        await self._save_texts()

    async def _save_texts(self) -> None:
        for name, value in list(self._unsaved_texts.items()):
            try:
                async with self._file_lock:
                    await self._loop.run_in_executor(self._writer, self._file.save, name, value)
            except sqlite3.Error as error:
                log.warning("journal_text_not_kept", name=name, error=str(error))  # housekeeping tries again
                return
            if self._unsaved_texts.get(name) is value:
                del self._unsaved_texts[name]

    async def saved(self, name: str) -> str | None:
        """Return the text saved under a name."""
        return await self._loop.run_in_executor(self._reader, self._file.saved, name)

    # -- figures -----------------------------------------------------------------------------------

    @property
    def committed_seq(self) -> int:
        """Frames up to this number are in the file, or were delivered from memory."""
        return self._frames_from - 1

    @property
    def received(self) -> int:
        """Frames received over the life of the journal, including lost ones."""
        return self.last_seq + sum(count for reason, count in self.lost.items() if reason not in NUMBERED)

    @property
    def finished(self) -> int:
        """Frames acknowledged or dead-lettered over the life of the journal."""
        return self.watermark - sum(self.lost.get(reason, 0) for reason in NUMBERED) + self._given_up_above

    @property
    def pending(self) -> int:
        """Frames received that are neither finished nor lost."""
        return self.last_seq - self.watermark - self._given_up_above

    @property
    def _given_up_above(self) -> int:
        """Frames counted as corrupt above the watermark."""
        return sum(max(0, each.stop - max(each.start, self.watermark + 1)) for each in self._given_up)

    @property
    def kept(self) -> int:
        """Frames in the file at the last housekeeping, including delivered ones."""
        return max(0, self.committed_seq - self.first_seq + 1) if self.first_seq else 0

    @property
    def is_alive(self) -> bool:
        """Whether housekeeping still runs; a failing disk does not end it."""
        return not self._housekeeper.done()

    async def close(self) -> None:
        """Commit the remaining frames, save the progress and close the file."""
        for task in (self._housekeeper, self._check):
            task.cancel()
        if self._progress_timer:
            self._progress_timer.cancel()
        await asyncio.wait([self._housekeeper, self._check])
        if self._committing:
            await asyncio.wait([self._committing], timeout=5)
        self._note_unsaved_losses()
        await self._save_texts()
        await self._mark_damaged()
        async with self._file_lock:  # wait for a hanging commit, then write what it left
            self._is_closed = True
            if self._committing:
                self._committing.cancel()
            try:
                await self._loop.run_in_executor(
                    self._writer, self._file.insert, self._frames_from, self._frames, self._new_keys, self._progress()
                )
            except sqlite3.Error as error:
                log.error("journal_close_failed", error=str(error), frames=len(self._frames))  # noqa: TRY400 - SQLite's text says it all
        # A cancelled read goes on in its thread, so wait for it: closing its connection would crash
        # the process.
        await self._loop.run_in_executor(self._reader, _nothing)
        await self._loop.run_in_executor(self._writer, self._file.close)
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    # -- inside ------------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Start a commit, unless one is running; a running commit goes on with new frames."""
        if self._committing is None:
            self._committing = self._loop.create_task(self._commit_all(), name="journal-commit")

    async def _commit_all(self) -> None:
        while self._frames or self._new_keys or self._progress_is_due:
            progress, self._progress_is_due = (self._progress() if self._progress_is_due else {}), False
            if self._frames or self._new_keys or progress != self._saved_progress:
                await self._insert(progress)
        self._commit_scheduled = False
        self._committing = None

    def _save_progress(self) -> None:
        self._progress_timer = None
        self._progress_is_due = True
        self._commit()

    async def _insert(self, progress: dict[str, int]) -> None:
        """Commit all waiting frames and keys, and try again after each failure."""
        while True:
            try:
                async with self._file_lock:
                    file, first, frames, keys = self._file, self._frames_from, self._frames[:], self._new_keys[:]
                    await self._loop.run_in_executor(self._writer, file.insert, first, frames, keys, progress)
                break
            except sqlite3.Error as error:
                self._note_write_error(error)
                if is_unfit(error):
                    await self._replace(file, error)
                else:
                    await asyncio.sleep(RETRY_SECONDS)
                self._drop_finished()
                progress = self._progress()
        if self.write_error:
            log.warning("journal_write_recovered")
            self.write_error = None
        if progress:
            self._saved_progress = progress
        del self._new_keys[: len(keys)]
        if frames:
            self._drop_oldest(len(frames))
            self._extend_window(Block(first, frames))
            self._arrival.set()
        self._make_room()

    def _note_write_error(self, error: Exception) -> None:
        if self.write_error is None:
            log.error(
                "journal_write_failed",
                cause=_sqlite_code(error),
                error=str(error),
                frames=len(self._frames),
                kept_in="memory",
            )
        self.write_error = str(error)
        self._make_room()
        self._arrival.set()

    def _drop_finished(self) -> None:
        """Drop finished frames from memory, because the file does not need them."""
        self._drop_oldest(min(max(self.watermark - self.committed_seq, 0), len(self._frames)))

    def _drop_oldest(self, count: int) -> None:
        self._frames_bytes -= sum(len(frame.raw) for frame in self._frames[:count])
        del self._frames[:count]
        self._frames_from += count

    # An unfit file is set aside. A new file begins with a copy of what can be read of the old one.

    async def _replace(self, unfit: JournalFile, error: Exception) -> None:
        """Replace an unfit file, and finish even if the caller is cancelled.

        A successor that was created but never adopted would hide every later frame.
        """
        await asyncio.shield(self._loop.create_task(self._replace_unfit(unfit, error), name="journal-replace"))

    async def _replace_unfit(self, unfit: JournalFile, error: Exception) -> None:
        async with self._file_lock:
            if self._file is not unfit or self._is_closed:
                return
            self._note_write_error(error)  # delivery reads from memory meanwhile
            try:
                self._file = await self._loop.run_in_executor(
                    self._writer, unfit.replaced, self.watermark, self.committed_seq
                )
            except (OSError, sqlite3.Error) as failure:
                log.error("journal_not_replaced", error=str(failure), because=str(error))  # noqa: TRY400 - the message is enough
                await asyncio.sleep(RETRY_SECONDS)
                return
            self._saved_progress = {}
            self._new_keys = [
                SessionKey(*session, key) for session, keys in self._keys.items() for key in reversed(keys)
            ]
            # Frames given up earlier are missing in the new file too, but they are already counted.
            fresh = list(_beyond(self._file.given_up, self._given_up))
            if found := self._file.salvage:
                self._note_set_aside(found._replace(unreadable=sum(map(len, fresh))), str(error))
            if fresh:
                self._given_up += fresh
                self.lost["corrupt"] = self.lost.get("corrupt", 0) + sum(map(len, fresh))

    def _note_set_aside(self, found: Salvage, reason: str) -> None:
        """Log that a file was set aside, and record its unreadable frames as a loss."""
        self.set_aside += 1
        log.error(
            "journal_set_aside",
            reason=reason,
            now=str(found.aside or "renamed at the next stop or start"),
            taken_over=found.frames,
            unreadable=found.unreadable,
        )
        if found.unreadable:
            self._note_loss(Loss(0, "corrupt", found.unreadable, 0, found.from_ns, found.to_ns))

    async def _check_after_unclean_end(self) -> None:
        """Check the whole file, while frames are captured, if the last process did not close it."""
        file = self._file
        if not file.was_clean and not await asyncio.to_thread(file.is_sound):
            await self._replace(file, sqlite3.DatabaseError("the integrity check after an unclean end failed"))

    def _make_room(self) -> None:
        self.is_overdue = False
        self._room.set()

    def _progress(self) -> dict[str, int]:
        return {"watermark": self.watermark, **{f"lost_{reason}": count for reason, count in self.lost.items()}}

    # The window holds committed frames in memory, from the frame that delivery reads next. So
    # delivery seldom reads the file.

    def _clear_window(self, after: int) -> None:
        """Empty the window; the next block in it has to follow frame number `after`."""
        self._window.clear()
        self._window_bytes = 0
        self._window_end = after

    async def _fill_window(self, after: int) -> int:
        """Fill the window from the file; return the number just before its first frame."""
        block = await self._read_file(after, self.committed_seq + 1, FRAMES_A_READ)
        begin = block.first_seq - 1
        self._clear_window(begin)
        self._extend_window(block)
        return begin

    async def _read_file(self, after: int, before: int, limit: int) -> Block:
        """Read frames from the file; count each damaged row once; replace an unreadable file."""
        while True:
            file = self._file
            try:
                block, damaged = await self._loop.run_in_executor(self._reader, file.read, after, before, limit)
                break
            except sqlite3.Error as error:
                if is_unfit(error):
                    await self._replace(file, error)
                elif file is self._file:  # if not, the file was replaced meanwhile: read the new one
                    raise
        if fresh := damaged.keys() - self._condemned:
            self._condemned |= fresh
            for seq in sorted(fresh):
                if seq > self.watermark:  # if not, Kafka has the frame
                    self._given_up.append(range(seq, seq + 1))
                    self._lose(damaged[seq], "corrupt")
                    self._unmarked.add(seq)
            await self._mark_damaged()
        return block

    async def _mark_damaged(self) -> None:
        """Mark, in the file, the rows that were counted as lost."""
        if not self._unmarked:
            return
        try:
            async with self._file_lock:
                marking = sorted(self._unmarked)
                await self._loop.run_in_executor(self._writer, self._file.condemn, marking, self._progress())
                self._unmarked.difference_update(marking)
        except sqlite3.Error as error:
            log.warning("journal_housekeeping_failed", error=str(error))

    def _extend_window(self, block: Block) -> None:
        """Add a block if it follows the window and there is room; the file has it in any case."""
        if block.frames and block.first_seq == self._window_end + 1 and self._window_bytes < WINDOW_BYTES:
            self._window.append(block)
            self._window_bytes += _bytes(block)
            self._window_end = block.last_seq

    def _from_window(self, after: int, limit: int) -> Block:
        """Return up to `limit` frames of the window, from several commits if needed."""
        first = self._window[0]
        frames = first.frames[after + 1 - first.first_seq :]
        for block in islice(self._window, 1, None):
            if len(frames) >= limit:
                break
            frames = [*frames, *block.frames]
        return Block(after + 1, frames[:limit])

    def _lose(self, frame: Received, reason: LossReason) -> None:
        if (frame.slot, reason) not in self._losing:
            log.error("frames_lost", slot=frame.slot, reason=reason)
        self._note_loss(Loss(frame.slot, reason, 1, len(frame.raw), frame.received_ns, frame.received_ns))
        self.lost[reason] = self.lost.get(reason, 0) + 1

    def _note_loss(self, loss: Loss) -> None:
        if not self._losing:
            self._losing_since = self._loop.time()
        before = self._losing.get((loss.slot, loss.reason))
        self._losing[loss.slot, loss.reason] = before.with_later(loss) if before else loss

    def report_losses(self) -> None:
        """Report the losses not yet reported.

        It is called when no more frames are lost, every minute while frames are being lost, and at
        a stop.
        """
        for loss in self._losing.values():
            self.on_loss(loss)
        self._losing.clear()

    def _note_unsaved_losses(self) -> None:
        if self._losing != self._saved_losing:
            self._saved_losing = self._losing.copy()
            self._unsaved_texts[LOSSES] = json.dumps([astuple(loss) for loss in self._losing.values()])

    async def _keep_house(self) -> None:
        lost_before = dict(self.lost)
        while True:
            try:
                self._note_unsaved_losses()
                await self._save_texts()
                await self._mark_damaged()
                await self._prune_and_measure()
                await self._checkpoint()
            except sqlite3.Error as error:
                if is_unfit(error):
                    await self._replace(self._file, error)
                else:
                    log.warning("journal_housekeeping_failed", error=str(error))
            if self.lost == lost_before or self._loop.time() - self._losing_since >= LOSING_SECONDS:
                self.report_losses()
            lost_before = dict(self.lost)
            if self._progress() != self._saved_progress:
                self._save_progress()
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    async def _prune_and_measure(self) -> None:
        """Delete finished frames that are too old, and further ones while the file is too large."""
        run = self._loop.run_in_executor
        oldest_ns = time.time_ns() - int(self._settings.retain_hours * 3600e9)
        # Prune only up to the watermark that is saved in the file. After a kill, a number missing
        # above the saved watermark counts as a lost frame.
        finished = self._saved_progress.get("watermark", 0)
        while await run(self._writer, self._file.prune, finished, oldest_ns):
            pass
        while True:
            measured = self._since_measured
            self.used_bytes = await run(self._reader, self._file.used_bytes)
            self.first_seq = await run(self._reader, self._file.first_seq)
            self._since_measured -= measured
            if self.used_bytes < PRUNE_ABOVE * self._settings.max_bytes or not await run(
                self._writer, self._file.prune, finished, None
            ):
                return

    async def _checkpoint(self) -> None:
        size = await self._loop.run_in_executor(self._reader, self._file.wal_bytes)
        overdue = self.committed_seq != self._checkpointed_seq and self._loop.time() >= self._checkpoint_due
        if size > CHECKPOINT_BYTES or overdue:
            through = self.committed_seq
            await self._loop.run_in_executor(self._reader, self._file.checkpoint)
            self._checkpointed_seq, self._checkpoint_due = through, self._loop.time() + CHECKPOINT_SECONDS
        if size > min(WAL_BYTES, self._settings.max_bytes // 8):
            await self._loop.run_in_executor(self._writer, self._file.truncate_wal)


def _sqlite_code(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def _losses(saved: str | None) -> list[Loss]:
    """Return the losses that the last process saved, or none if the text is unreadable."""
    try:
        return [Loss(*fields) for fields in json.loads(saved or "[]")]
    except (TypeError, ValueError):
        log.warning("kept_losses_unreadable", kept=saved)
        return []


def _beyond(found: Sequence[range], known: Sequence[range]) -> Iterator[range]:
    """Yield the numbers in `found` that are not in `known`."""
    for each in found:
        start = each.start
        for other in sorted(known, key=lambda one: one.start):
            if other.stop > start and other.start < each.stop:
                if other.start > start:
                    yield range(start, other.start)
                start = other.stop
        if start < each.stop:
            yield range(start, each.stop)


def _nothing() -> None:
    """Do nothing; when this returns, the thread has done all earlier work."""


def _bytes(block: Block) -> int:
    return sum(len(frame.raw) for frame in block.frames)
