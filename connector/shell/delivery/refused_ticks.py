"""Makes dead letters of ticks that Kafka refused, from their frames in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.core.ticks import dead_letter
from connector.core.ticks.frame import BadFrame, split
from connector.logs import clean, clean_known
from connector.shell.delivery.batch import Record
from connector.shell.delivery.position import frame_of, index_of, position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from connector.core.ticks.frame import Received
    from connector.shell.delivery.source import FrameSource

FRAMES_A_READ: Final = 1024


async def letters_of(source: FrameSource, ticks: Sequence[Record], refused_as: str) -> AsyncIterator[Record]:
    """Yield the dead letter of each tick, in order; leave out ticks the journal cannot read."""
    by_frame: dict[int, list[Record]] = {}
    for tick in ticks:
        by_frame.setdefault(frame_of(tick.position), []).append(tick)
    after, through = min(by_frame) - 1, max(by_frame)
    while after < through:
        block = await source.read_again(after, through, FRAMES_A_READ)
        for seq, frame in enumerate(block.frames, block.first_seq):
            for tick in by_frame.get(seq, ()):
                yield _letter(source, seq, frame, tick, refused_as)
        after = max(block.last_seq, after + 1)


def _letter(source: FrameSource, seq: int, frame: Received, tick: Record, refused_as: str) -> Record:
    records = split(frame, source.keys(frame.slot, frame.session))
    index = index_of(tick.position)
    assert not isinstance(records, BadFrame), "a tick came out of it"  # noqa: S101 - for the type checker
    assert tick.key is not None, "a tick has a key"  # noqa: S101 - for the type checker
    letter = dead_letter.of_refused(frame, records[index], tick.key, refused_as)
    letter = dead_letter.without_secrets(letter, clean, clean_known)
    return Record(
        position(seq, index),
        tick.received_ns,
        letter.timestamp_ms,
        letter.key,
        letter.value,
        letter.headers,
        letter.reason,
    )
