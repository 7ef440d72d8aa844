"""The part of the journal that delivery uses, and its frames, a bounded number at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Block
from connector.core.ticks.frame import Received

BYTES_A_TURN = 64 * 1024  # bounds a turn whose frames hold many ticks; their columns fit a core's cache


class FrameSource(Protocol):
    """The part of the journal that delivery uses."""

    @property
    def watermark(self) -> int:
        """Every frame up to this number is finished."""
        ...

    @property
    def last_seq(self) -> int:
        """The number of the newest frame."""
        ...

    @property
    def lanes_at_start(self) -> Mapping[str, int]:
        """The lanes' watermarks that the process before this one saved, if above the watermark."""
        ...

    async def read(self, after: int, limit: int) -> Block:
        """Wait for frames after number `after`, and return the next ones.

        An empty block means that no frame after `after` and up to its `last_seq` can be read.
        """
        ...

    async def read_again(self, after: int, through: int, limit: int) -> Block:
        """Return frames with `after` < number <= `through`, or an empty block as `read` does."""
        ...

    def keys(self, slot: int, session: int) -> Sequence[CipherKey]:
        """Return a session's cipher keys, newest first."""
        ...

    def advance(self, watermark: int) -> None:
        """Record that every frame up to this number is finished."""
        ...

    def lose(self, seq: int, frame: Received) -> None:
        """Count a frame as lost, just before `advance` passes it: Kafka refused its dead letter."""
        ...


def turns(block: Block) -> Iterator[Block]:
    """Cut a block into turns of up to `BYTES_A_TURN` bytes; an empty block is one empty turn."""
    first, frames, size, begin = block.first_seq, block.frames, 0, 0
    for place, frame in enumerate(frames):
        size += len(frame.raw)
        if size > BYTES_A_TURN and place > begin:
            yield Block(first + begin, frames[begin:place])
            begin, size = place, len(frame.raw)
    yield Block(first + begin, frames[begin:] if begin else frames)
