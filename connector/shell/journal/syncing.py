"""Brings the log to the disk, and then saves how far everything has come."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from connector.core.journal.memory import Memory
from connector.core.journal.record import FORMAT
from connector.core.journal.state import MOST_BYTES, MOST_MARKS, Progress, sealed
from connector.core.journal.tally import Tally
from connector.shell.journal import trouble
from connector.shell.journal.log import Full, SyncFailed
from connector.shell.journal.reading import Segment
from connector.shell.journal.recovery import PROGRESS, SAVED
from connector.shell.journal.trouble import Trouble
from connector.shell.journal.writing import Writing
from connector.shell.worker import Worker

log = structlog.get_logger("connector.journal")

WINDOW_BYTES: Final = 16 * 2**20  # frames that are on the disk and wait in memory for delivery
MEMORY_BYTES = 64 * 2**20  # all frames in memory
PROGRESS_SECONDS = 0.25  # after a kill, records acknowledged within this time may be sent again
ALIVE_SECONDS = 5.0
Lanes = Callable[[], Mapping[str, int]]


class Syncing:
    """Syncs every `sync_seconds`; the disk has every number up to `synced`.

    `saved` is what `progress` holds, and `texts` are those of `saved.json`. Delivery reads from
    number `read_through` on. `retired` counts the segments that could not be synced.
    """

    def __init__(self, writing: Writing, memory: Memory, tally: Tally, problems: Trouble, sync_seconds: float) -> None:
        self.worker = Worker("journal-syncer")
        self.synced = tally.last
        self.saved = Progress(tally.settled, tally.last, {}, [], {}, 0)
        self.texts: dict[str, str] = {}
        self.read_through = tally.watermark
        self.retired = 0
        self.lanes: Lanes = dict
        self._writing = writing
        self._log = writing.log
        self._memory = memory
        self._tally = tally
        self._trouble = problems
        self._sync_seconds = sync_seconds
        self._unsaved_texts = self._lacks_room = False
        self._saved_at = -ALIVE_SECONDS
        self._soon = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []  # for a round that has not begun
        writing.finished = tally.settled
        writing.new_progress = self.next_round
        writing.trim = self.trim

    async def next_round(self) -> None:
        """Sync at once, and wait until it is done; a round under way began too early to count."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._soon.set()
        await done

    async def sync_in_time(self) -> None:
        """Wait until a sync is due, and do what can be done."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._sync_seconds, PROGRESS_SECONDS)):
                await self._soon.wait()
        self._soon.clear()
        waiting, self._waiting = self._waiting, []
        try:
            if not self._trouble.is_hanging:
                await self._sync()
        finally:
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _sync(self) -> None:
        through = self._settled_through
        try:
            with self._trouble.watched("sync"):
                if self._log.is_dirty:
                    await self.worker.run(self._log.sync)
                self.synced = max(self.synced, through)
                await self._save_progress()
                await self._save_texts()
        except SyncFailed as failed:
            self._trouble.note("sync", str(failed))
            await self._repair(failed.segment)
            return
        except OSError as error:
            self._trouble.note("sync", str(error))
            return
        self._trouble.end("sync")
        self.trim()
        async with self._writing.folder_free:
            with self._trouble.watched("prune"):
                await self._writing.worker.run(self._log.prune, self.saved.watermark)
        self._trouble.end("prune")

    @property
    def _settled_through(self) -> int:
        """The log has each number up to this one, or does not need it.

        What was delivered from memory while the disk failed need never be on it.
        """
        return self._memory.finished_after(self._writing.written)

    def trim(self) -> None:
        """Drop frames from memory that nobody needs there."""
        self._memory.trim(self.synced, self.read_through, WINDOW_BYTES, MEMORY_BYTES)

    async def _repair(self, segment: Segment) -> None:
        """Write what a segment may have lost to a new one; nothing else is written meanwhile."""
        self.retired += 1
        log.error("journal_segment_retired", file=segment.name, synced=self.synced)
        async with self._writing.folder_free:
            while True:
                items = self._memory.written(self.synced, segment.last or 0)
                try:
                    await self._writing.worker.run(
                        self._log.retire, segment, items, self._writing.keys(), self.saved.watermark
                    )
                except (OSError, Full) as error:
                    self._trouble.note("sync", str(error))
                    await asyncio.sleep(trouble.RETRY_SECONDS)
                else:
                    return

    # -- the small files ---------------------------------------------------------------------------

    def _progress(self) -> Progress:
        """Return what `progress` has to hold: nothing above what is on the disk."""
        tally = self._tally
        watermark = min(tally.watermark, tally.after_lost(self.synced + 1) - 1)
        tally.settle(watermark)
        lanes = {lane: min(seq, self.synced) for lane, seq in self.lanes().items() if min(seq, self.synced) > watermark}
        lost, marks = dict(tally.settled_losses), tally.marks[-MOST_MARKS:]
        return Progress(watermark, self.synced, lost, marks, lanes, self.saved.alive_at)

    async def _save_progress(self) -> None:
        fresh, now = self._progress(), asyncio.get_running_loop().time()
        if fresh != self.saved or now - self._saved_at > ALIVE_SECONDS:
            fresh = fresh._replace(alive_at=time.time_ns())
            await self.worker.run(self._log.folder.replace, PROGRESS, fresh.to_bytes())
            self.saved, self._saved_at = fresh, now
            self._writing.finished = fresh.watermark

    def keep_text(self, name: str, value: str) -> None:
        """Save a text at the next sync."""
        self._unsaved_texts = self._unsaved_texts or self.texts.get(name) != value
        self.texts[name] = value

    async def texts_saved(self) -> None:
        """Wait until the texts are saved, but not for a failing or hanging disk."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(trouble.SLOW_SECONDS):
                while self._unsaved_texts and not self._lacks_room and not self._trouble.problems:
                    await self.next_round()

    async def _save_texts(self) -> None:
        if not self._unsaved_texts:
            return
        self._unsaved_texts = False
        content = sealed({"format": FORMAT, "texts": self.texts})
        try:
            await self._writing.worker.run(self._log.reserve, state_bytes(len(content)), self.saved.watermark)
            await self.worker.run(self._log.folder.replace, SAVED, content)
            self._lacks_room = False
        except Full as full:
            if not self._lacks_room:
                log.warning("journal_texts_not_kept", error=str(full))
            self._lacks_room = self._unsaved_texts = True
        except BaseException:
            self._unsaved_texts = True
            raise

    async def finish(self, seconds: float) -> bool:
        """Wait at most `seconds` until all is on the disk, and return whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._is_finished and not self._trouble.is_hanging:
                    await self.next_round()
                    await asyncio.sleep(0.001)  # while the disk fails, the rounds are short
        return self._is_finished

    @property
    def _is_finished(self) -> bool:
        is_saved = self._progress() == self.saved and self._unsaved_texts == self._lacks_room
        return is_saved and self._writing.is_done and self.synced >= self._settled_through


def state_bytes(saved: int) -> int:
    """Return what the small files need at most: two copies of each while one replaces the other."""
    return 2 * (saved + MOST_BYTES) + 64
