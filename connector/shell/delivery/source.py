"""The part of the journal that delivery uses, and its frames, a bounded number at a time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received

BYTES_A_TURN = 64 * 1024  # bounds a turn whose frames hold many ticks; their columns fit a core's cache


class FrameSource(Protocol):
    """The part of the journal that delivery uses."""

    @property
    def watermark(self) -> int:
        """Every frame up to this number is finished."""
        ...

    async def read(self, after: int, limit: int) -> "FrameBlock":
        """Wait for frames after number `after`, and return the next ones.

        An empty block means that no frame after `after` and up to its `last_seq` can be read.
        """
        ...

    async def read_again(self, after: int, through: int, limit: int) -> "FrameBlock":
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


class FrameBlock(Protocol):
    """Consecutive frames."""

    @property
    def first_seq(self) -> int:
        """The first frame's number."""
        ...

    @property
    def last_seq(self) -> int:
        """The last frame's number."""
        ...

    @property
    def frames(self) -> Sequence[Received]:
        """The frames."""
        ...


class Turn(NamedTuple):
    """Consecutive frames, decoded in one turn of the loop, with their first and last number."""

    first_seq: int
    last_seq: int
    frames: Sequence[Received]


def turns(block: FrameBlock) -> Iterator[Turn]:
    """Cut a block into turns of up to `BYTES_A_TURN` bytes; an empty block is one empty turn."""
    frames, first, size = block.frames, 0, 0
    for place, frame in enumerate(frames):
        size += len(frame.raw)
        if size > BYTES_A_TURN and place > first:
            yield Turn(block.first_seq + first, block.first_seq + place - 1, frames[first:place])
            first, size = place, len(frame.raw)
    yield Turn(block.first_seq + first, block.last_seq, frames[first:] if first else frames)
