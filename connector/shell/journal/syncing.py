"""Brings the log to the disk, and then saves how far everything has come."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from connector.core.journal.record import FORMAT
from connector.core.journal.state import MOST_MARKS, Progress, sealed, state_bytes
from connector.shell.journal import loss_reports, trouble
from connector.shell.journal.log import Full
from connector.shell.journal.recovery import PROGRESS, SAVED
from connector.shell.journal.state import State
from connector.shell.journal.writing import Writing
from connector.shell.worker import Worker

log = structlog.get_logger("connector.journal")

WINDOW_BYTES: Final = 2 * 2**20  # frames that are on the disk and wait in memory: two seconds of a busy day
MEMORY_BYTES = 64 * 2**20  # all frames in memory
PROGRESS_SECONDS = 0.25  # after a kill, records acknowledged within this time may be sent again
ALIVE_SECONDS = 5.0


class Syncing:
    """Syncs every `sync_seconds`, and saves the watermarks that `lanes` returns."""

    def __init__(self, state: State, writing: Writing, sync_seconds: float) -> None:
        self.worker = Worker("journal-syncer")
        self.lanes: Callable[[], Mapping[str, int]] = dict
        self._state = state
        self._writing = writing
        writing.new_progress = self.next_round
        self._pause = min(sync_seconds, PROGRESS_SECONDS)
        self._begun_at = asyncio.get_running_loop().time()
        self._saved_at = -ALIVE_SECONDS
        self._saved_texts: Mapping[str, str] = {}
        self._lacks_room = False  # for the texts
        self._soon = asyncio.Event()
        self._next = asyncio.Event()  # set when the next round has ended

    async def next_round(self) -> None:
        """Sync at once, and wait until it is done; a round under way began too early to count."""
        ended = self._next
        self._soon.set()
        await ended.wait()

    async def sync_in_time(self) -> None:
        """Wait until a sync is due, and do what can be done.

        After a round that took longer than the pause, the next one begins at once.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._begun_at + self._pause):
                await self._soon.wait()
        self._soon.clear()
        self._begun_at = asyncio.get_running_loop().time()
        ended, self._next = self._next, asyncio.Event()
        try:
            if not self._state.trouble.is_hanging:
                await self._sync()
        finally:
            ended.set()

    async def _sync(self) -> None:
        state, through = self._state, self._settled
        with state.trouble.watched("sync"):
            if state.log.is_dirty:
                await self.worker.run(state.log.sync)
        if "sync" in state.trouble.problems:
            await self._writing.write_again()
            await asyncio.sleep(trouble.RETRY_SECONDS)
            return
        state.tally.synced = max(state.tally.synced, through)
        with state.trouble.watched("save"):
            await self._save_progress()
            await self._save_texts()
        self.trim(MEMORY_BYTES)
        async with self._writing.folder_free:
            with state.trouble.watched("prune"):
                await self._writing.worker.run(state.log.prune, state.progress.watermark)

    @property
    def _settled(self) -> int:
        """The log has each number up to this one, or does not need it.

        What was delivered from memory while the disk failed need never be on it.
        """
        return self._state.memory.settled(self._state.tally.last)

    def trim(self, most_bytes: int) -> None:
        """Drop frames from memory that nobody needs there, and others above this size."""
        self._state.memory.trim(self._state.tally.synced, min(WINDOW_BYTES, most_bytes), most_bytes)

    # -- the small files ---------------------------------------------------------------------------

    def _progress(self) -> Progress:
        """Return what `progress` has to hold: nothing above what is on the disk."""
        tally = self._state.tally
        watermark = min(tally.watermark, tally.after_lost(tally.synced + 1) - 1)
        tally.settle(watermark)
        lanes = {lane: min(seq, tally.synced) for lane, seq in self.lanes().items()}
        return Progress(
            watermark,
            tally.synced,
            tally.settled_losses,
            tally.marks[-MOST_MARKS:],
            {lane: seq for lane, seq in lanes.items() if seq > watermark},
            self._state.progress.alive_at,
        )

    async def _save_progress(self) -> None:
        fresh, now = self._progress(), asyncio.get_running_loop().time()
        if fresh != self._state.progress or now - self._saved_at > ALIVE_SECONDS:
            fresh = fresh._replace(alive_at=time.time_ns())
            await self.worker.run(self._state.log.folder.replace, PROGRESS, fresh.to_bytes())
            self._state.progress, self._saved_at = fresh, now

    async def save(self, name: str, value: str) -> None:
        """Save a text, but do not wait for a failing or hanging disk."""
        texts, problems = self._state.texts, self._state.trouble.problems
        texts[name] = value
        if name == loss_reports.EVENTS:
            self._state.losses.forget_reported()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(trouble.SLOW_SECONDS):
                while self._saved_texts.get(name) != texts[name] and not (self._lacks_room or problems):
                    await self.next_round()

    @property
    def _texts(self) -> Mapping[str, str]:
        return {**self._state.texts, **self._state.losses.to_save}

    async def _save_texts(self) -> None:
        texts = self._texts
        if texts == self._saved_texts:
            return
        content = sealed({"format": FORMAT, "texts": texts})
        size, watermark = state_bytes(len(content)), self._state.progress.watermark
        try:
            await self._writing.worker.run(self._state.log.reserve, size, watermark)
        except Full as full:
            if not self._lacks_room:
                log.warning("journal_texts_not_kept", error=str(full))
            self._lacks_room = True
            return
        await self.worker.run(self._state.log.folder.replace, SAVED, content)
        self._state.log.state_bytes = size
        self._saved_texts, self._lacks_room = texts, False

    async def finish(self, seconds: float) -> bool:
        """Wait at most `seconds` until all is on the disk, and return whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.next_round()
                while not self._is_finished and not self._state.trouble.is_hanging:
                    await asyncio.sleep(0.001)  # while the disk fails, the rounds are short
                    await self.next_round()
        return self._is_finished

    @property
    def _is_finished(self) -> bool:
        tally, has_texts = self._state.tally, self._texts == self._saved_texts
        return has_texts and self._progress() == self._state.progress and tally.synced >= self._settled == tally.last
