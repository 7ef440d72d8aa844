"""Gives delivery frames that come from elsewhere than a journal."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Block
from connector.core.ticks.frame import Received

MOST_BYTES: Final = 16 * 2**20  # of frames that Kafka has not acknowledged


class FrameStream:
    """Numbers frames from 1, and keeps each until Kafka has acknowledged it.

    Its frames are plain text, so it has no cipher keys. `lost` counts the frames whose dead letter
    Kafka refused.
    """

    def __init__(self) -> None:
        self.watermark = 0
        self.last_seq = 0
        self.lost = 0
        self.lanes_at_start: Mapping[str, int] = {}
        self._kept: list[Received] = []  # the frames after the watermark
        self._bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._arrived = asyncio.Event()

    async def add(self, frames: Sequence[Received]) -> None:
        """Wait for room, and add the next frames."""
        await self._has_room.wait()
        self._kept += frames
        self.last_seq += len(frames)
        self._count(sum(len(frame.raw) for frame in frames))
        self._arrived.set()

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return the next ones."""
        while self.last_seq <= after:
            self._arrived.clear()
            await self._arrived.wait()
        return self._block(after, after + limit)

    async def read_again(self, after: int, through: int, limit: int) -> Block:
        """Return frames with `after` < number <= `through`."""
        return self._block(after, min(through, after + limit))

    def _block(self, after: int, through: int) -> Block:
        after = max(after, self.watermark)
        frames = self._kept[after - self.watermark : max(0, through - self.watermark)]
        return Block(after + 1, frames)

    def keys(self, slot: int, session: int) -> Sequence[CipherKey]:  # noqa: ARG002 - a journal's has them
        """Return no key."""
        return ()

    def advance(self, watermark: int) -> None:
        """Forget the frames up to this number: Kafka has what came of them."""
        finished = self._kept[: max(0, watermark - self.watermark)]
        del self._kept[: len(finished)]
        self.watermark += len(finished)
        self._count(-sum(len(frame.raw) for frame in finished))

    def lose(self, seq: int, frame: Received) -> None:  # noqa: ARG002 - a journal needs them
        """Count a frame as lost."""
        self.lost += 1

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes < MOST_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()
