"""Frames are decoded a bounded number at a time."""

from connector.core.journal.record import Block
from connector.shell.delivery import source
from connector.shell.delivery.source import turns
from tests.shell.delivery.frames import frame


def test_turns_leave_nothing_out(monkeypatch):
    """Turns have no gap; each has at least one frame, and an empty block is one turn."""
    monkeypatch.setattr(source, "BYTES_A_TURN", 262_144)
    sizes = [10, 200_000, 60_000, 3_000, 300_000, 1, 262_144, 1]
    block = Block(5, [frame(raw=b"x" * size) for size in sizes])
    cut = list(turns(block))
    assert [(turn.first_seq, turn.last_seq) for turn in cut] == [(5, 7), (8, 8), (9, 9), (10, 10), (11, 11), (12, 12)]
    assert [one for turn in cut for one in turn.frames] == block.frames
    assert list(turns(Block(7, []))) == [(7, [])]
