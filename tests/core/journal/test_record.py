"""Records come back as they were written, and damage never makes another one of them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import (
    FORMAT,
    HEADER_BYTES,
    Block,
    Frame,
    Key,
    Mark,
    encode,
    format_of,
    header,
    take,
)
from connector.core.ticks.frame import Received

FRAMES = st.builds(
    Received,
    received_ns=st.integers(-(2**63), 2**63 - 1),
    slot=st.integers(0, 2**16 - 1),
    session=st.integers(0, 2**63 - 1),
    binary=st.booleans(),
    raw=st.binary(max_size=60) | st.just(b"\xffREC\xffREC"),
)


def items(frames):
    """Return a key, the frames from number 10 on, and a mark."""
    key = Key(9, 1, 7, CipherKey("k" * 32, "i" * 16))
    end = 10 + len(frames)
    return [key, Block(10, frames), Mark(end, end + 4, "disk"), Mark(end + 5, end + 5, None)]


def expected(frames):
    """Return the records of `items`."""
    key, block, *marks = items(frames)
    return [key, *(Frame(seq, frame) for seq, frame in enumerate(block.frames, 10)), *marks]


@given(st.lists(FRAMES, max_size=6))
def test_what_was_encoded_is_found(frames):
    """Every record is found whole, in order, and all bytes are used."""
    data = encode(items(frames))
    taken = take(data, 9, is_end=True)
    assert [record for _, _, record in taken.records] == expected(frames)
    assert taken.used == len(data)
    assert [begin for begin, _, _ in taken.records] == [0, *(end for _, end, _ in taken.records)][:-1]


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
@settings(max_examples=300)
def test_a_flipped_bit_costs_exactly_its_record(frames, data):
    """With one bit flipped, every other record is found, and none is invented."""
    sound = encode(items(frames))
    places = take(sound, 9, is_end=True).records
    bit = data.draw(st.integers(0, 8 * len(sound) - 1))
    damaged = bytearray(sound)
    damaged[bit // 8] ^= 1 << bit % 8
    hit = next(record for begin, end, record in places if begin <= bit // 8 < end)
    found = [record for _, _, record in take(bytes(damaged), 9, is_end=True).records]
    assert found == [record for record in expected(frames) if record is not hit and record != hit]


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_a_tail_torn_at_any_byte_leaves_the_whole_records(frames, data):
    """Bytes up to any place give the records that end there or before."""
    sound = encode(items(frames))
    end = data.draw(st.integers(0, len(sound)))
    whole = [record for _, stop, record in take(sound, 9, is_end=True).records if stop <= end]
    assert [record for _, _, record in take(sound[:end], 9, is_end=True).records] == whole


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_a_record_that_is_not_all_there_yet_is_left(frames, data):
    """Read in two pieces, the records are the same as in one."""
    sound = encode(items(frames))
    end = data.draw(st.integers(0, len(sound)))
    first = take(sound[:end], 9, is_end=False)
    highest = max([9, *(record.seq for _, _, record in first.records)])
    second = take(sound[first.used :], highest, is_end=True)
    assert [record for _, _, record in (*first.records, *second.records)] == expected(frames)


def test_a_lower_number_is_no_record():
    """A whole record whose number is not above the ones before it is skipped."""
    frame = Received(1, 0, 7, False, b"x")
    data = encode([Block(5, [frame]), Block(3, [frame]), Block(6, [frame])])
    assert [record.seq for _, _, record in take(data, 0, is_end=True).records] == [5, 6]


def test_a_header_names_its_format():
    """A whole header names the format; any flipped bit makes it none."""
    sound = header(17)
    assert len(sound) == HEADER_BYTES
    assert format_of(sound) == FORMAT
    assert format_of(sound[:-1]) is None
    for bit in range(8 * HEADER_BYTES):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        assert format_of(bytes(damaged)) is None
