"""Memory gives the log what it does not have, and delivery what it asks for."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.journal.memory import BLOCK_FRAMES, Memory, log_bytes
from connector.core.journal.record import Block, Mark, encode
from connector.core.ticks.frame import Received


def frames(first, last):
    """Return a block of these numbers."""
    return Block(first, [Received(seq, 0, 7, False, b"%d" % seq) for seq in range(first, last + 1)])


def add(memory, first, last):
    """Add the frames of these numbers."""
    for seq, frame in enumerate(frames(first, last).frames, first):
        memory.add_frame(seq, frame)


def seqs(items):
    """Return the numbers of the frames in items."""
    return [frame.received_ns for item in items if isinstance(item, Block) for frame in item.frames]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.data())
def test_the_log_gets_every_frame_once_and_in_order(sizes, data):
    """However frames come and however much a write takes, the log gets all, in order."""
    memory, written, last = Memory(0), [], 0
    for size in sizes:
        add(memory, last + 1, last + size)
        last += size
        if data.draw(st.booleans()):
            items = memory.take(data.draw(st.integers(1, 400)))
            assert items
            if data.draw(st.booleans()):
                add(memory, last + 1, last + 1)  # comes while the write is under way
                last += 1
            assert (memory.read(0, last, 1000) or frames(1, 0)).frames == frames(1, last).frames
            if data.draw(st.booleans()):
                memory.wrote()
                written += seqs(items)
            else:
                memory.failed()
        assert (memory.read(0, last, 1000) or frames(1, 0)).frames == frames(1, last).frames
    while memory.unwritten:
        items = memory.take(100)
        memory.wrote()
        written += seqs(items)
    assert written == list(range(1, last + 1))
    assert memory.unwritten_bytes == 0


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30), st.integers(1, 30))
def test_a_read_gives_the_frames_asked_for(count, after, through, limit):
    """A read returns the frames after a number, up to another, at most so many."""
    memory = Memory(0)
    for seq in range(1, count + 1):
        add(memory, seq, seq)
        if seq % 3 == 0:
            memory.take(10**6)
            memory.wrote()
    wanted = list(range(after + 1, min(through, count) + 1))[:limit]
    found = memory.read(after, through, limit)
    assert (wanted, found) == ([], None) or seqs([found]) == wanted
    assert found is None or found.first_seq == wanted[0]


def test_finished_frames_that_were_not_written_become_a_mark():
    """Of frames delivered from memory, the log gets one mark in their place."""
    memory = Memory(0)
    add(memory, 1, 3)
    memory.take(10**6)
    memory.wrote()
    for first in (4, 7):
        add(memory, first, first + 2)
        memory.take(10**6)
        memory.failed()
    memory.drop(7, None)
    assert memory.unwritten == [Mark(4, 7, None), frames(8, 9)]
    memory.drop(8, None)
    assert memory.unwritten == [Mark(4, 8, None), frames(9, 9)]
    assert memory.floor == 8


def test_what_is_finished_need_not_be_written():
    """Finished numbers that follow the written ones are as good as written, up to a pending one."""
    memory = Memory(3)
    add(memory, 4, 9)
    assert memory.finished_after(3) == 3
    memory.drop(7, None)
    assert memory.finished_after(3) == 7
    assert memory.finished_after(2) == 2
    memory.drop(9, None)
    memory.add(Mark(10, 10, "disk"))
    assert memory.finished_after(3) == 9


def test_frames_given_up_become_a_mark():
    """Of frames for which there is no room, the log gets one mark in their place."""
    memory = Memory(0)
    add(memory, 1, 3)
    memory.add(Mark(4, 4, "disk"))
    add(memory, 5, 6)
    assert seqs(memory.drop(6, "journal_full")) == [1, 2, 3, 5, 6]
    assert memory.unwritten == [Mark(1, 3, "journal_full"), Mark(4, 4, "disk"), Mark(5, 6, "journal_full")]
    assert memory.bytes == memory.unwritten_bytes == 0


def test_only_frames_on_the_disk_leave_memory():
    """Written frames stay until they are on the disk and delivered, or memory is full."""
    memory = Memory(0)
    add(memory, 1, 4)
    memory.take(10**6)
    memory.wrote()
    add(memory, 5, 6)
    memory.take(10**6)
    memory.wrote()
    memory.trim(3, 6, 0, 10**6)
    assert memory.floor == 0
    memory.trim(6, 4, 10**6, 10**6)
    assert memory.floor == 4
    memory.trim(6, 4, 0, 0)
    assert (memory.floor, memory.bytes) == (6, 0)


def test_the_frames_of_a_segment_can_be_written_again():
    """Written frames between two numbers are returned while memory has them."""
    memory = Memory(0)
    for seq in (1, 3, 5):
        add(memory, seq, seq + 1)
        memory.take(10**6)
        memory.wrote()
    assert seqs(memory.written(1, 5)) == [2, 3, 4, 5]


def test_waiting_blocks_stay_small():
    """A read slices a block that waits for the disk, so it grows only to a limit."""
    memory = Memory(0)
    for seq in range(1, 3 * BLOCK_FRAMES + 1):
        add(memory, seq, seq)
    assert [len(block.frames) for block in memory.unwritten] == [BLOCK_FRAMES] * 3


@given(st.integers(1, 2**40), st.integers(0, 2**40), st.sampled_from([None, "disk", "journal_full", "corrupt"]))
def test_no_mark_takes_more_than_was_reckoned(first, more, lost):
    """The bytes reckoned for a mark are at least those it takes."""
    assert len(encode([Mark(first, first + more, lost)])) <= log_bytes(Mark(first, first + more, lost))
