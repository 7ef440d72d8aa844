"""Memory gives the log what it does not have, and delivery what it asks for."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.cipher_key import CipherKey
from connector.core.journal.memory import BLOCK_FRAMES, Memory, log_bytes
from connector.core.journal.record import Block, Key, Mark, encode
from connector.core.ticks.frame import Received

MUCH = 10**9  # bytes


def frames(first, last):
    """Return a block of these numbers."""
    return Block(first, [Received(seq, 0, 7, False, b"%d" % seq) for seq in range(first, last + 1)])


def add(memory, first, last):
    """Add the frames of these numbers."""
    for seq, frame in enumerate(frames(first, last).frames, first):
        memory.add_frame(seq, frame)


def write(memory):
    """Let the log have all that waits."""
    memory.wrote(len(memory.take(MUCH, 0)))


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
            items = memory.take(data.draw(st.integers(1, 400)), 0)
            assert items
            if data.draw(st.booleans()):
                add(memory, last + 1, last + 1)  # comes while the write is under way
                last += 1
            assert (memory.read(0, last, 1000) or frames(1, 0)).frames == frames(1, last).frames
            if data.draw(st.booleans()):
                memory.wrote(len(items))
                written += seqs(items)
        assert (memory.read(0, last, 1000) or frames(1, 0)).frames == frames(1, last).frames
    while not memory.is_written:
        items = memory.take(100, 0)
        memory.wrote(len(items))
        written += seqs(items)
    assert written == list(range(1, last + 1))


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30), st.integers(1, 30))
def test_a_read_gives_the_frames_asked_for(count, after, through, limit):
    """A read returns the frames after a number, up to another, at most so many."""
    memory = Memory(0)
    for seq in range(1, count + 1):
        add(memory, seq, seq)
        if seq % 3 == 0:
            write(memory)
    wanted = list(range(after + 1, min(through, count) + 1))[:limit]
    found = memory.read(after, through, limit)
    assert (wanted, found) == ([], None) or seqs([found]) == wanted
    assert found is None or found.first_seq == wanted[0]


def in_blocks(memory, *blocks):
    """Add blocks of these numbers."""
    for first, last in blocks:
        memory.add(frames(first, last))


def waiting(memory):
    """Return what waits for the log."""
    items = memory.take(MUCH, 0)
    memory.wrote(0)
    return items


def test_finished_frames_that_were_not_written_are_forgotten():
    """In place of whole blocks of frames delivered from memory, the log gets one mark."""
    memory = Memory(0)
    in_blocks(memory, (1, 3), (4, 5), (6, 7), (8, 9))
    memory.wrote(len(memory.take(1, 0)))
    memory.forget(7)
    assert waiting(memory) == [Mark(4, 7, None), frames(8, 9)]
    memory.forget(8)
    assert waiting(memory) == [Mark(4, 7, None), frames(8, 9)], "9 is not finished"
    memory.write_again(0, 3)
    assert waiting(memory) == [Mark(1, 7, None), frames(8, 9)]


def test_finished_frames_behind_a_write_are_forgotten():
    """While a write is under way, its frames stay, and later finished ones become a mark."""
    memory = Memory(0)
    in_blocks(memory, (1, 3), (4, 5), (6, 7), (8, 9))
    items = memory.take(1, 0)
    memory.forget(7)
    assert seqs(items) == [1, 2, 3]
    assert memory.read(0, 9, 10) == frames(1, 3)
    memory.wrote(len(items))
    assert memory.take(MUCH, 0) == [Mark(4, 7, None), frames(8, 9)]
    memory.wrote(0)
    memory.forget(9)
    assert waiting(memory) == [Mark(4, 9, None)], "what was not written waits again"
    memory.add(Mark(10, 10, None))
    memory.forget(10)
    assert waiting(memory) == [Mark(4, 9, None), Mark(10, 10, None)]


def test_what_is_finished_or_lost_need_not_be_written():
    """Such numbers are as good as written, up to the first frame that waits for the log."""
    memory = Memory(3)
    assert memory.settled(3) == 3
    in_blocks(memory, (4, 5), (6, 7), (8, 9))
    assert memory.settled(9) == 3
    memory.forget(7)
    assert memory.settled(9) == 7
    memory.forget(9)
    assert memory.settled(9) == 9
    memory.add(Mark(10, 10, "disk"))
    assert memory.settled(10) == 10
    memory.add(Key(10, 0, 7, CipherKey("k" * 32, "i" * 16)))
    memory.add(Mark(11, 11, "disk"))
    assert memory.settled(11) == 11
    in_blocks(memory, (12, 12))
    assert memory.settled(12) == 11


def test_frames_given_up_become_a_mark():
    """Of frames for which there is no room, the log gets one mark in their place."""
    memory = Memory(0)
    add(memory, 1, 3)
    memory.add(Mark(4, 4, "disk"))
    add(memory, 5, 6)
    assert seqs(memory.lose(0, "journal_full")) == [1, 2, 3, 5, 6]
    assert waiting(memory) == [Mark(1, 3, "journal_full"), Mark(4, 4, "disk"), Mark(5, 6, "journal_full")]
    assert memory.bytes == 0


def test_frames_that_the_log_had_are_not_given_up():
    """What has to be written again stays when there is no room for newer frames."""
    memory = Memory(0)
    add(memory, 1, 3)
    write(memory)
    add(memory, 4, 5)
    memory.write_again(0, 0)
    memory.lose(3, "journal_full")
    assert waiting(memory) == [frames(1, 3), Mark(4, 5, "journal_full")]


def test_only_frames_on_the_disk_leave_memory():
    """Written frames stay until they are on the disk and delivered, or memory is full."""
    memory = Memory(0)
    add(memory, 1, 4)
    write(memory)
    add(memory, 5, 6)
    write(memory)
    memory.read_through = 6
    memory.trim(3, 0, 10**6)
    assert memory.floor == 0
    memory.read_through = 4
    memory.trim(6, 10**6, 10**6)
    assert memory.floor == 4
    memory.trim(6, 0, 0)
    assert (memory.floor, memory.bytes) == (6, 0)


def test_what_the_log_may_have_lost_is_written_again():
    """Every block with a frame after a number waits again, before the newer ones."""
    memory = Memory(0)
    for seq in (1, 3, 5):
        add(memory, seq, seq + 1)
        write(memory)
    add(memory, 7, 7)
    memory.write_again(3, 0)
    assert waiting(memory) == [frames(3, 4), frames(5, 6), frames(7, 7)]
    assert memory.settled(7) == 2
    assert memory.read(0, 7, 10) == frames(1, 7)


def test_no_block_skips_a_number():
    """A frame that follows what is written again begins a block of its own."""
    memory = Memory(0)
    add(memory, 1, 2)
    write(memory)
    memory.write_again(0, 0)
    add(memory, 5, 6)
    assert waiting(memory) == [frames(1, 2), frames(5, 6)]


def test_waiting_blocks_stay_small():
    """A write takes whole blocks, so a block grows only to a limit."""
    memory = Memory(0)
    add(memory, 1, 3 * BLOCK_FRAMES)
    assert [len(block.frames) for block in waiting(memory)] == [BLOCK_FRAMES] * 3


def test_what_is_being_written_grows_no_more():
    """Frames and marks that come during a write are in no item of that write."""
    memory = Memory(0)
    add(memory, 1, 2)
    items = memory.take(MUCH, 0)
    add(memory, 3, 3)
    assert items == [frames(1, 2)]
    memory.wrote(1)
    memory.add(Mark(4, 4, "disk"))
    items = memory.take(MUCH, 0)
    memory.add(Mark(5, 5, "disk"))
    memory.wrote(len(items))
    assert waiting(memory) == [Mark(5, 5, "disk")]


def test_a_mark_that_waits_still_waits_when_what_is_before_it_is_written_again():
    """Numbers that need not be written are not written by that: their mark is still to come."""
    memory = Memory(0)
    add(memory, 1, 3)
    write(memory)
    add(memory, 4, 6)
    memory.forget(6)
    add(memory, 7, 7)
    memory.write_again(6, 0)
    assert waiting(memory) == [Mark(4, 6, None), frames(7, 7)]


def test_what_is_written_again_comes_whole():
    """A segment replaces those after it, so it begins with all that they had, in one write."""
    memory = Memory(0)
    for seq in (1, 2, 3):
        add(memory, seq, seq)
        write(memory)
    memory.write_again(0, 0)
    add(memory, 4, 4)
    assert seqs(memory.take(1, 3)) == [1, 2, 3]


@given(st.integers(1, 2**40), st.integers(0, 2**40), st.sampled_from([None, "disk", "journal_full", "corrupt"]))
def test_no_mark_takes_more_than_was_reckoned(first, more, lost):
    """The bytes reckoned for a mark are at least those it takes."""
    assert len(encode([Mark(first, first + more, lost)])) <= log_bytes(Mark(first, first + more, lost))
