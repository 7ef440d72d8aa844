"""Gives delivery its frames: from memory, or from the log where memory no longer reaches."""

import time
from collections.abc import Callable

from connector.core.journal.key_ring import KeyRing
from connector.core.journal.loss import Loss
from connector.core.journal.memory import Memory
from connector.core.journal.record import Block
from connector.core.journal.tally import Tally
from connector.shell.journal.reading import Found, read
from connector.shell.journal.trouble import Trouble
from connector.shell.journal.writing import Writing
from connector.shell.worker import Worker

FRAMES_A_READ = 4096  # many, because a hand-over to the reading thread takes a millisecond on a busy loop


class FrameSource:
    """Reads in order. A number that should be in the log and is not there is lost as `corrupt`."""

    def __init__(  # noqa: PLR0913, PLR0917 - one argument for each neighbour
        self,
        writing: Writing,
        memory: Memory,
        tally: Tally,
        keys: KeyRing,
        trouble: Trouble,
        on_loss: Callable[[Loss], None],
    ) -> None:
        self.worker = Worker("journal-reader")
        self._writing = writing
        self._memory = memory
        self._tally = tally
        self._keys = keys
        self._trouble = trouble
        self._on_loss = on_loss
        self._ahead = Block(0, [])  # read from the log, for the next reads

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return up to `limit` of them.

        While the disk fails, frames that are not written are returned from memory. An empty block
        means that no frame after `after` and up to its `last_seq` can be read.
        """
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
        log = self._writing.log
        found = await self.worker.run(read, log.folder, log.segments, after, before, limit)
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
                now = time.time_ns()
                self._on_loss(Loss(0, "corrupt", len(each), 0, now, now))
