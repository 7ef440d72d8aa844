"""Gives delivery its frames: from memory, or from the log where memory no longer reaches."""

import asyncio

from connector.core.journal.record import Block
from connector.shell.journal.reading import Found, read
from connector.shell.journal.state import State
from connector.shell.journal.trouble import RETRY_SECONDS
from connector.shell.worker import Worker

# More than the bytes of one read hold, so that the next one begins where this one ended. Many,
# because a hand-over to the reading thread takes a millisecond on a busy loop.
FRAMES_A_READ = 8192


class FrameSource:
    """Reads in order. A number that should be in the log and is not there is lost as `corrupt`."""

    def __init__(self, state: State) -> None:
        self.worker = Worker("journal-reader")
        self._state = state
        self._ahead = Block(0, [])  # read from the log, for the next reads

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return up to `limit` of them.

        While the disk fails, frames that are not written are returned from memory. An empty block
        means that no frame after `after` and up to its `last_seq` can be read.
        """
        state = self._state
        state.memory.read_through = after
        while (through := state.readable) <= after:
            state.trouble.changed.clear()
            await state.trouble.changed.wait()
        if after >= state.memory.floor:
            self._ahead = Block(0, [])
            return await self.read_again(after, through, limit)
        begin, ahead = state.tally.after_lost(after + 1) - 1, self._ahead
        if not ahead.first_seq <= begin + 1 <= ahead.last_seq:
            ahead = self._ahead = await self.read_again(begin, state.tally.written, FRAMES_A_READ)
            begin = ahead.first_seq - 1
        start = begin + 1 - ahead.first_seq
        return Block(begin + 1, ahead.frames[start : start + limit])

    async def read_again(self, after: int, through: int, limit: int) -> Block:
        """Return up to `limit` frames with `after` < number <= `through`, or as `read` does."""
        memory = self._state.memory
        if after < memory.floor:
            return await self._read_log(after, min(through, self._state.tally.written), limit)
        return memory.read(after, through, limit) or Block(through + 1, [])

    async def _read_log(self, after: int, through: int, limit: int) -> Block:
        found = await self._found(after, min(through, self._state.memory.floor) + 1, limit)
        for key in found.keys:
            self._state.ring.add_older(key)
        for first, last, reason in found.marks:
            if reason:
                self._state.tally.lose(first, last, reason)
        if found.missing:
            self._state.losses.miss(found.missing.start, found.missing.stop - 1)
        return found.block

    async def _found(self, after: int, before: int, limit: int) -> Found:
        """Read the log; while the disk gives an error, try again."""
        log, trouble = self._state.log, self._state.trouble
        while True:
            with trouble.watched("read"):
                return await self.worker.run(read, log.folder, log.segments, after, before, limit)
            await asyncio.sleep(RETRY_SECONDS)
