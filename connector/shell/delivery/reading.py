"""Reads the journal into the lanes, and again for lanes that lag."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from connector.core.ticks.frame import ENCRYPTED_PREFIX
from connector.shell.delivery.position import frame_of, position
from connector.shell.delivery.source import turns
from connector.shell.kafka.waiting import within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connector.core.journal.record import Block
    from connector.core.ticks.frame import Received
    from connector.shell.delivery.lane import Lane
    from connector.shell.delivery.sorter import Sorter
    from connector.shell.delivery.source import FrameSource

FRAMES_A_TURN = 256  # decoding this many single-tick frames holds the loop for a few ms
FRAMES_AGAIN = 1024  # a read for a lagging lane takes many frames, because it is handed to a thread
PATIENCE_SECONDS = 0.5  # a full lane that sends nothing for this long is left behind
KEY_WAIT_SECONDS = 5.0  # how long after the receipt of a session's first encrypted frame its key is waited for
KEY_POLL_SECONDS = 0.02
CATCH_UP_POLL_SECONDS = 0.02  # while a lane that lags is full or has no producer
LAG_POLL_SECONDS = 0.2  # while no lane lags: not longer than a lane without a producer waits for the next


class Reading:
    """One reader reads the journal once for all lanes that keep up; `read_through` is how far.

    A second reader reads the journal again for lagging lanes, so that no partition holds up
    another. `on_progress` is called after each turn.
    """

    def __init__(self, source: FrameSource, sorter: Sorter, on_progress: Callable[[], None]) -> None:
        self.read_through = source.watermark
        self._source = source
        self._sorter = sorter
        self._on_progress = on_progress
        self._served_at: dict[Lane, float] = {}
        # By slot: its latest session whose key was missed, and the end of the wait for that key.
        self._key_due: dict[int, tuple[int, float]] = {}
        self._placing = asyncio.Lock()
        self._caught_up = asyncio.Event()  # set after each step of a lane that lags
        self._caught_up.set()

    async def read_on(self, lanes: Sequence[Lane], opened: asyncio.Event) -> None:
        """Read the journal for all lanes that keep up, while any lane is open."""
        while True:
            while not any(lane.is_open for lane in lanes):
                opened.clear()
                await opened.wait()
            await self._give_way(lanes)
            for turn in turns(await self._source.read(self.read_through, FRAMES_A_TURN)):
                async with self._placing:
                    await self._keys_for(turn.frames)
                    self._sorter.place(turn.first_seq, turn.frames)
                    self.read_through = turn.last_seq
                self._on_progress()
                await self._leave_stuck_behind(lanes)
                await asyncio.sleep(0)

    async def _give_way(self, lanes: Sequence[Lane]) -> None:
        """Let lanes that lag catch up first, while they are nearer than the newest frame.

        So what piled up while Kafka was away is decoded once for all lanes, and not by each reader.
        If the second reader takes no step in PATIENCE_SECONDS, it gets no more time until it does.
        """
        while self._caught_up.is_set():
            lagging = [frame_of(lane.behind_from or 0) for lane in lanes if lane.can_catch_up]
            if not lagging or self.read_through - min(lagging) >= self._source.last_seq - self.read_through:
                return
            self._caught_up.clear()
            await within(self._caught_up, PATIENCE_SECONDS)

    async def pause(self) -> None:
        """Place no more frames until `resume`."""
        await self._placing.acquire()

    def resume(self) -> None:
        """End the pause."""
        self._placing.release()

    async def _leave_stuck_behind(self, lanes: Sequence[Lane]) -> None:
        """Wait up to PATIENCE_SECONDS for full lanes; a lane that is still full falls behind."""
        until = time.monotonic() + PATIENCE_SECONDS
        for lane in lanes:
            if lane.is_full and lane.behind_from is None and not await lane.room(until - time.monotonic()):
                lane.fall_behind(position(self.read_through + 1, 0))

    async def _keys_for(self, frames: Sequence[Received]) -> None:
        """Wait for the keys of encrypted frames.

        A session has to wait for once only, because the frames of all other sessions wait as well.
        """
        for frame in [frame for frame in frames if frame.raw[:2] == ENCRYPTED_PREFIX]:
            if self._sorter.lacks_key(frame):
                age = max(0.0, (time.time_ns() - frame.received_ns) / 1e9)  # negative if the clock was set back
                session, until = self._key_due.get(frame.slot, (None, 0.0))
                if session != frame.session:
                    until = time.monotonic() + KEY_WAIT_SECONDS - age
                    self._key_due[frame.slot] = frame.session, until
                while self._sorter.lacks_key(frame) and time.monotonic() < until:  # noqa: ASYNC110 - rare and short
                    await asyncio.sleep(KEY_POLL_SECONDS)

    async def read_again(self, lanes: Sequence[Lane]) -> None:
        """Read the journal again for lagging lanes, first for the lane that has waited longest."""
        while True:
            waiting = [lane for lane in lanes if lane.can_catch_up]
            if not waiting:
                lags = any(lane.behind_from is not None for lane in lanes)
                await asyncio.sleep(CATCH_UP_POLL_SECONDS if lags else LAG_POLL_SECONDS)
                continue
            lane = min(waiting, key=lambda each: self._served_at.get(each, 0.0))
            self._served_at[lane] = time.monotonic()
            after = frame_of(lane.behind_from or 0) - 1
            through = self.read_through
            block = await self._source.read_again(after, through, FRAMES_AGAIN)
            if through - after > FRAMES_AGAIN:
                await self._catch_up(lanes, after, block, is_last=False)
            else:  # nearly there: the lock stops the other reader, which would otherwise stay ahead
                async with self._placing:
                    await self._catch_up(lanes, after, block, is_last=block.last_seq >= self.read_through)
            self._on_progress()

    async def _catch_up(self, lanes: Sequence[Lane], after: int, block: Block, *, is_last: bool) -> None:
        """Place the block's frames into each lagging lane that has all records up to `after`.

        `is_last` is true if these lanes keep up again after the block.
        """
        await asyncio.sleep(0)  # the other reader may just have placed a turn
        for turn in turns(block):
            if turn.first_seq > block.first_seq:
                after = turn.first_seq - 1
            serving = [lane for lane in lanes if lane.can_catch_up and frame_of(lane.behind_from or 0) > after]
            if not serving:
                return
            self._sorter.place(turn.first_seq, turn.frames, serving)
            is_end = is_last and turn.last_seq == block.last_seq
            for lane in serving:
                lane.catch_up(None if is_end else position(turn.last_seq + 1, 0))
            self._caught_up.set()
            await asyncio.sleep(0)
