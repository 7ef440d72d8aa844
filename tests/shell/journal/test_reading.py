"""Reading finds every frame from any number on, and says which are missing."""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Key, Mark, encode
from connector.shell.journal import reading, segment
from connector.shell.journal.reading import read
from tests.shell.journal.logs import block, new_log, seqs


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Return a log of 300 frames in two segments, read in small pieces."""
    monkeypatch.setattr(reading, "CHUNK", 512)
    made = two_segments(tmp_path / "journal")
    yield made
    made.close()


def two_segments(path, keyed=()):
    """Return a log of 300 frames in two segments; a key follows each of the `keyed` ones."""
    made, first = new_log(path), 1
    for last in sorted({*keyed, 200}):
        made.write([block(first, last)], [], 0)
        if last in keyed:
            made.write([Key(last, 0, 7, CipherKey("k" * 32, "i" * 16))], [], 0)
        first = last + 1
    made.seal()
    made.write([block(201, 300, size=900)], [], 0)
    return made


@pytest.mark.parametrize("after", [0, 1, 57, 199, 200, 201, 299])
def test_reading_begins_anywhere(log, after):
    """From any number on, twice, the rest comes: the second time the places are known."""
    for _ in range(2):
        assert seqs(log, after, 301) == (list(range(after + 1, 301)), [])


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=4),
    st.integers(1, 300),
    st.sets(st.integers(1, 300), max_size=5),
    st.sets(st.integers(1, 200) | st.just(200), max_size=5),
)
def test_reads_of_any_length_give_all_that_is_not_damaged(limits, chunk, damaged, keyed):
    """However long each read and each piece of it is, every whole frame comes once, in order.

    Every key comes, too, even the one after a segment's last frame.
    """
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK", 100 * chunk)
        patch.setattr(reading, "READ_BYTES", 400 * chunk)
        log = two_segments(Path(folder) / "journal", keyed)
        for seq in damaged:
            path = log.folder.path / log.segments[seq > 200].name
            content = bytearray(path.read_bytes())
            content[content.index(block(seq, seq, size=900 if seq > 200 else 100).frames[0].raw)] ^= 4
            path.write_bytes(content)
        keys = []
        for _ in range(2):
            assert seqs(log, 0, 301, limits, keys.append) == (
                [seq for seq in range(1, 301) if seq not in damaged],
                sorted(damaged),
            )
            assert {key.seq for key in keys} == keyed
        log.close()


def test_a_long_read_begins_where_the_last_one_ended(log, monkeypatch):
    """What one read took, the next one does not read again."""
    places, real = [], os.pread
    monkeypatch.setattr(reading, "READ_BYTES", 2048)
    monkeypatch.setattr(os, "pread", lambda fd, size, at: places.append(at) or real(fd, size, at))
    assert seqs(log, 0, 201, (1000,)) == (list(range(1, 201)), [])
    assert len(places) == len(set(places)) > 20


def test_a_short_read_reads_little(log, monkeypatch):
    """A read of few frames ends with them, wherever the next segment begins."""
    sizes, real = [], os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, at: sizes.append(size) or real(fd, size, at))
    assert read(log.folder, log.segments, 0, 301, 5).block == block(1, 5)
    assert sum(sizes) <= 2 * reading.CHUNK


def test_a_key_at_the_end_of_a_piece_comes_with_a_later_read(tmp_path, monkeypatch):
    """If a read ends before the key, the next one does not begin behind it."""
    log, key = new_log(tmp_path / "journal"), Key(3, 0, 7, CipherKey("k" * 32, "i" * 16))
    monkeypatch.setattr(reading, "CHUNK", len(encode([block(1, 3), key])))
    log.write([block(1, 3)], [], 0)
    log.write([key, block(4, 6)], [], 0)
    keys = []
    assert seqs(log, 0, 7, (3,), keys.append) == ([1, 2, 3, 4, 5, 6], [])
    assert keys == [key]
    log.close()


def test_a_key_comes_again_if_the_read_that_gave_it_failed(tmp_path, monkeypatch):
    """A read that fails behind a key is made again, from before the key."""
    log, key = new_log(tmp_path / "journal"), Key(3, 0, 7, CipherKey("k" * 32, "i" * 16))
    monkeypatch.setattr(reading, "CHUNK", len(encode([block(1, 3), key])))
    log.write([block(1, 3)], [], 0)
    log.write([key, block(4, 9)], [], 0)
    assert read(log.folder, log.segments, 0, 10, 3).block == block(1, 3)
    with monkeypatch.context() as patch:
        real = os.pread
        patch.setattr(os, "pread", lambda fd, size, at: real(fd, size, at) if at < reading.CHUNK else real(-1, 1, 0))
        with pytest.raises(segment.Unreadable):
            read(log.folder, log.segments, 3, 10, 3)
    assert read(log.folder, log.segments, 3, 10, 3).keys == [key]
    log.close()


def test_a_mark_behind_frames_hides_no_damage_before_them(tmp_path):
    """A read tells of the damage before its frames, whatever follows them."""
    log = new_log(tmp_path / "journal")
    log.write([block(1, 3), Mark(4, 5, "disk"), block(6, 6)], [], 0)
    path = log.folder.path / log.segments[0].name
    path.write_bytes(path.read_bytes().replace(b"%0100d" % 1, b"%0100d" % 9))
    found = read(log.folder, log.segments, 0, 7, 10)
    assert (found.block, found.missing, found.marks) == (block(2, 3), range(1, 2), [Mark(4, 5, "disk")])
    log.close()


def test_finished_numbers_behind_frames_say_that_all_before_was_finished(tmp_path):
    """A frame between the damage and the mark changes nothing."""
    log = new_log(tmp_path / "journal")
    log.write([block(1, 2), Mark(3, 4, None)], [], 0)
    path = log.folder.path / log.segments[0].name
    path.write_bytes(path.read_bytes().replace(b"%0100d" % 1, b"%0100d" % 9))
    found = read(log.folder, log.segments, 0, 5, 10)
    assert (found.block, len(found.missing)) == (block(2, 2), 0)
    log.close()


@pytest.mark.parametrize(("lost", "missing"), [(None, range(6, 6)), ("disk", range(3, 6))])
def test_damage_before_finished_numbers_was_finished_too(tmp_path, lost, missing):
    """Finished numbers say that all before them were finished; lost ones do not."""
    log = new_log(tmp_path / "journal")
    log.write([block(1, 3), Mark(4, 5, lost), block(6, 6)], [], 0)
    path = log.folder.path / log.segments[0].name
    path.write_bytes(path.read_bytes().replace(b"%0100d" % 3, b"%0100d" % 9))
    found = read(log.folder, log.segments, 2, 7, 10)
    assert (found.block, found.missing, found.marks) == (block(6, 6), missing, [Mark(4, 5, lost)])
    log.close()


def test_a_read_stops_before_a_number(log):
    """No frame at or above `before` is returned."""
    assert read(log.folder, log.segments, 10, 13, 100).block == block(11, 12)
    assert read(log.folder, log.segments, 10, 100, 5).block == block(11, 15)
    path = log.folder.path / log.segments[0].name
    path.write_bytes(path.read_bytes().replace(b"%0100d" % 10, b"%0100d" % 9).replace(b"%0100d" % 11, b"%0100d" % 9))
    found = read(log.folder, log.segments, 9, 11, 100)
    assert (found.block.last_seq, found.missing) == (10, range(10, 11))


def test_numbers_of_a_segment_that_is_gone_are_missing(log):
    """Numbers before the first segment, and those of an unlinked file, are missing."""
    log.folder.unlink(log.segments[1].name)
    found, missing = seqs(log, 0, 301)
    assert (found, missing) == (list(range(1, 201)), list(range(201, 301)))
    log.segments = log.segments[1:]
    assert seqs(log, 0, 201) == ([], list(range(1, 201)))


def test_a_damaged_byte_costs_one_frame(log):
    """A frame with a damaged byte is missing, and all others come."""
    path = log.folder.path / log.segments[1].name
    content = bytearray(path.read_bytes())
    content[content.index(b"%0900d" % 250) + 7] ^= 4
    path.write_bytes(content)
    assert seqs(log, 0, 301) == ([seq for seq in range(1, 301) if seq != 250], [250])


def test_an_empty_log_has_nothing(tmp_path):
    """Without a segment every number is missing."""
    log = new_log(tmp_path / "journal")
    found = read(log.folder, log.segments, 4, 8, 10)
    assert (found.block.last_seq, found.missing) == (7, range(5, 8))
    log.close()


def test_marks_are_told(log):
    """A read returns the marks that it passed."""
    log.write([Mark(301, 400, "disk")], [], 0)
    found = read(log.folder, log.segments, 300, 401, 10)
    assert found.marks == [Mark(301, 400, "disk")]
    assert (found.block.last_seq, len(found.missing)) == (400, 0)


def test_a_segment_that_the_disk_does_not_give_costs_one_wait(log, monkeypatch):
    """However many pieces it is read in, its unreadable parts are waited for a minute in all."""
    now, real, path = [100.0], os.pread, log.folder.path / log.segments[0].name
    content, size = path.read_bytes(), 2 * segment.PAGE
    bad = [(place, place + segment.PAGE) for place in range(segment.PAGE, len(content), size)]

    def pread(fd, size, at):
        if os.fstat(fd).st_ino == path.stat().st_ino and any(at < end and at + size > begin for begin, end in bad):
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr(segment.time, "monotonic", lambda: now[0])
    after, found = 0, 0
    while after < 300:
        try:
            block = read(log.folder, log.segments, after, 301, 50).block
        except segment.Unreadable:
            now[0] += 0.5
        else:
            found, after = found + len(block.frames), block.last_seq
    assert len(bad) > 2
    assert now[0] == 160.0
    assert 180 < found < 300
