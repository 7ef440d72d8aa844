"""Records come back as they were written, and damage never makes another one of them."""

import json
import struct
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import (
    FORMAT,
    HEADER_BYTES,
    RECORD_BYTES,
    Block,
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
    return [key, Block(10, frames), Mark(end, end, "disk"), Mark(end + 1, end + 5, None)]


def singles(found):
    """Return the items with each frame in a block of its own."""
    return [
        one
        for item in found
        for one in (
            [Block(seq, [frame]) for seq, frame in enumerate(item.frames, item.first_seq)]
            if isinstance(item, Block)
            else [item]
        )
    ]


def alone(frames):
    """Return the records of `items`, and where each one begins and ends."""
    records, at = [], 0
    for item in singles(items(frames)):
        end = at + len(encode([item]))
        records.append((at, end, item))
        at = end
    return records


def taken(data, highest=9):
    """Return what is found in these bytes, with each frame in a block of its own."""
    return singles(item for _, _, item in take(data, highest, is_end=True).items)


@given(st.lists(FRAMES, max_size=6))
def test_what_was_encoded_is_found(frames):
    """Every item is found whole, in order, and all bytes are used."""
    written = [item for item in items(frames) if not isinstance(item, Block) or item.frames]
    found, used = take(encode(written), 9, is_end=True)
    assert [item for _, _, item in found] == written
    assert [encode(written)[begin:end] for begin, end, _ in found] == [encode([item]) for item in written]
    assert used == len(encode(written))


@given(st.lists(FRAMES, min_size=1, max_size=5), st.data())
@settings(max_examples=300)
def test_a_flipped_bit_costs_exactly_its_record(frames, data):
    """With one bit flipped, every other record is found, and none is invented."""
    sound = encode(items(frames))
    bit = data.draw(st.integers(0, 8 * len(sound) - 1))
    damaged = bytearray(sound)
    damaged[bit // 8] ^= 1 << bit % 8
    assert taken(bytes(damaged)) == [one for begin, end, one in alone(frames) if not begin <= bit // 8 < end]


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_a_tail_torn_at_any_byte_leaves_the_whole_records(frames, data):
    """Bytes up to any place give the records that end there or before."""
    sound = encode(items(frames))
    torn = data.draw(st.integers(0, len(sound)))
    assert taken(sound[:torn]) == [one for _, end, one in alone(frames) if end <= torn]


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_a_record_that_is_not_all_there_yet_is_left(frames, data):
    """Read in two pieces, the records are the same as in one."""
    sound = encode(items(frames))
    end = data.draw(st.integers(0, len(sound)))
    first = take(sound[:end], 9, is_end=False)
    found = [item for _, _, item in first.items]
    highest = max([9, *(item.last_seq for item in found)])
    assert [*singles(found), *taken(sound[first.used :], highest)] == singles(items(frames))


def test_a_record_that_would_be_longer_than_the_file_is_none():
    """A whole record is found, and one that ends beyond the file is not, whatever its checksum."""
    sound = encode([Block(10, [Received(1, 0, 7, False, b"x")])])
    following = bytearray(encode([Block(11, [Received(1, 0, 7, False, b"y")])]))
    following[4] += 1  # the lowest byte of the length, which the checksum does not cover
    assert taken(sound + following) == [Block(10, [Received(1, 0, 7, False, b"x")])]


@pytest.mark.parametrize("numbers", [(5, 3, 6), (5, 6, 6, 7), (5, 7, 6, 8)])
def test_a_lower_number_is_no_record(numbers):
    """A whole record whose number is not above the ones before it is skipped."""
    frame = Received(1, 0, 7, False, b"x")
    ascending = [number for place, number in enumerate(numbers) if number > max(numbers[:place], default=0)]
    found = taken(encode([Block(number, [frame]) for number in numbers]), 0)
    assert [block.first_seq for block in found] == ascending


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


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [("1", 20, None), (None, 20, None), (1.5, 20, "disk"), (True, 20, None), (0, 20, None), (21, 20, "corrupt")],
)
def test_a_mark_of_no_range_is_damage(first, last, reason):
    """A mark has numbers from one on, the last one not before the first."""
    assert taken(encode([Mark(first, last, reason)])) == []
    assert taken(encode([Mark(1, last, None)])) == [Mark(1, last, None)]


@pytest.mark.parametrize("last", ["x", None, 19, 21, 2**70])
def test_a_mark_ends_with_its_own_number(last):
    """The number of its record is the last one of its range."""
    sound = encode([Mark(1, 20, None)])
    body = json.loads(sound[RECORD_BYTES:])
    assert taken(with_body(sound, json.dumps(body).encode())) == [Mark(1, 20, None)]
    assert taken(with_body(sound, json.dumps({**body, "to": last}).encode())) == []


DEEP = b"[" * 100_000


@pytest.mark.parametrize("body", [b"", b"x", b"5", b"[]", b"{}", b"null", b'{"from": 1}', DEEP, b'{"from":' + DEEP])
def test_a_mark_that_is_none_is_damage(body):
    """Whatever its body is, with a right checksum, nothing is raised."""
    assert taken(with_body(encode([Mark(1, 20, None)]), body)) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"5", b"[]", b"null", b"[1, 2]", b'["k"]', b'["k", null]', b'["k", ["i"]]', b'["k", "i", "j"]', DEEP],
    ids=lambda body: str(body[:20]),
)
def test_a_key_that_is_none_is_damage(body):
    """A key is two texts."""
    sound = encode([Key(9, 0, 7, CipherKey("k", "i"))])
    assert taken(with_body(sound, b'["k", "i"]')) == [Key(9, 0, 7, CipherKey("k", "i"))]
    assert taken(with_body(sound, body)) == []


def with_body(record, body):
    """Return a record with another body, and the checksum of that."""
    meta = record[12:RECORD_BYTES]
    return record[:4] + struct.pack("<II", len(body), crc32(body, crc32(meta))) + meta + body
