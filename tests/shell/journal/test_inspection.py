"""Tests of reading a journal's folder without its lock."""

import errno
import os

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Block, Key, Mark, encode, header
from connector.core.journal.state import Progress, sealed
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable, RequestMalformed
from connector.shell.journal import inspection, reading, recovery
from connector.shell.journal.inspection import inspect


def frames(first, last):
    """Return frames with these numbers."""
    return Block(first, [Received(7, 0, 1, False, b"frame %d " % number * 5) for number in range(first, last + 1)])


def segment(folder, first, *items, torn=b""):
    """Write a segment that begins with this number; return its path."""
    path = folder / f"{first:020d}.log"
    path.write_bytes(header(first) + encode(items) + torn)
    return path


def progress(folder, watermark, synced, marks=()):
    """Write the file `progress`."""
    content = Progress(watermark, synced, {}, list(marks), {}, 0).to_bytes()
    (folder / "progress").write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    """Return a journal of two segments with frames 1 to 10, of which 4 are finished."""
    segment(tmp_path, 1, Key(0, 0, 1, CipherKey("k" * 32, "i" * 16)), frames(1, 6))
    segment(tmp_path, 7, frames(7, 10))
    progress(tmp_path, 4, 10)
    return tmp_path


def test_a_sound_journal(folder):
    """Segments, watermark and pending frames are shown, and there is no problem."""
    found = inspect(folder)
    assert [each[:3] for each in found.segments] == [
        ("00000000000000000001.log", 1, 6),
        ("00000000000000000007.log", 7, 10),
    ]
    assert (found.watermark, found.pending, found.corrupt, found.torn_bytes, found.problems) == (4, 6, 0, 0, [])
    assert found.bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_a_part_that_the_disk_does_not_give_hides_no_other(folder, monkeypatch):
    """What cannot be read of one segment is damage of that one, and all others are read."""
    real, broken = os.pread, folder / "00000000000000000001.log"

    def pread(fd, size, at):
        if os.path.sameopenfile(fd, held):
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, size, at)

    with broken.open("rb") as file:
        held = file.fileno()
        monkeypatch.setattr(os, "pread", pread)
        found = inspect(folder)
    assert [(each.first, each.last, each.damaged) for each in found.segments] == [(1, 0, True), (7, 10, False)]
    assert found.problems == [
        f"{broken} is damaged: some bytes are no record or cannot be read.",
        f"{folder} lacks the 2 frames 5 to 6, which were not delivered.",
    ]


@pytest.mark.parametrize("name", ["00000000000000000001.log", "progress"])
def test_a_file_that_the_disk_does_not_open_hides_no_other(folder, monkeypatch, name):
    """It is damaged, as one that cannot be read. One that this user may not read is told apart."""
    real, error = os.open, errno.EIO

    def refuse(path, *flags):
        if str(path).endswith(name):
            raise OSError(error, os.strerror(error))
        return real(path, *flags)

    monkeypatch.setattr(os, "open", refuse)
    found = inspect(folder)
    assert [each.last for each in found.segments] == [6 if name == "progress" else 0, 10]
    assert found.problems[0].startswith(f"{folder / name} is damaged")
    error = errno.EACCES
    with pytest.raises(JournalUnusable, match="Permission denied"):
        inspect(folder)


def test_a_size_that_the_disk_does_not_give_hides_nothing(folder, monkeypatch):
    """The content may be readable all the same."""
    real = os.scandir

    class Entry:
        def __init__(self, entry):
            self.name, self._entry = entry.name, entry

        def is_file(self, **options):
            return self._entry.is_file(**options)

        def stat(self, **_):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "scandir", lambda path: map(Entry, real(path)))
    assert (inspect(folder).pending, inspect(folder).problems, inspect(folder).bytes) == (6, [], 0)


def test_a_pipe_is_no_file(folder):
    """Nothing waits for a pipe's writer."""
    (folder / "progress").unlink()
    os.mkfifo(folder / "progress")
    assert inspect(folder).problems == [f"{folder / 'progress'} is damaged or cannot be read."]


def test_nothing_is_changed(folder):
    """Neither files nor their modes nor their times change."""
    for path in folder.iterdir():
        path.chmod(0o644)
    before = {path: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns) for path in folder.iterdir()}
    inspect(folder)
    assert before == {
        path: (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns) for path in folder.iterdir()
    }


def test_a_torn_end_is_no_damage(folder):
    """What follows the last whole record may be about to be written."""
    whole = encode([frames(11, 11)])
    segment(folder, 7, frames(7, 10), torn=whole[:-1])
    found = inspect(folder)
    assert (found.problems, found.torn_bytes, found.segments[-1].last) == ([], len(whole) - 1, 10)


def test_frames_appended_since_the_records_were_read_are_no_torn_end(tmp_path, monkeypatch):
    """A running connector may append to a segment just after its last record was read."""
    segment(tmp_path, 1, frames(1, 6))
    read = reading.items

    def read_and_append(*arguments, **others):
        yield from read(*arguments, **others)
        segment(tmp_path, 1, frames(1, 7))

    monkeypatch.setattr(reading, "items", read_and_append)
    found = inspect(tmp_path)
    assert (found.segments[-1].last, found.torn_bytes) == (6, 0)


def test_a_torn_end_that_was_synced_is_damage(folder):
    """Frames that the disk had are missing, whatever follows."""
    progress(folder, 4, 12)
    assert inspect(folder).missing == [range(11, 13)]


@pytest.mark.parametrize("chunk", [64, 256 * 1024])
def test_bytes_between_records_are_damage(folder, monkeypatch, chunk):
    """Foreign bytes damage the segment, in whatever pieces it is read."""
    monkeypatch.setattr("connector.shell.journal.reading.CHUNK", chunk)
    path = folder / "00000000000000000007.log"
    path.write_bytes(header(7) + encode([frames(7, 8)]) + b"\xff" * 300 + encode([frames(9, 10)]))
    found = inspect(folder)
    assert ([each.damaged for each in found.segments], found.corrupt, len(found.problems)) == ([False, True], 0, 1)


@pytest.mark.parametrize("number", [5, 8, 10])
def test_a_flipped_bit_is_exactly_one_frame(folder, number):
    """A damaged record of an undelivered frame is one missing number."""
    path = folder / ("00000000000000000001.log" if number < 7 else "00000000000000000007.log")
    content = bytearray(path.read_bytes())
    content[content.index(b"frame %d " % number)] ^= 1
    path.write_bytes(content)
    assert inspect(folder).missing == [range(number, number + 1)]


def test_what_was_delivered_may_be_missing(folder):
    """Numbers up to the watermark are finished: their segment may be gone."""
    progress(folder, 6, 10)
    (folder / "00000000000000000001.log").unlink()
    assert (inspect(folder).corrupt, inspect(folder).pending) == (0, 4)


def test_marked_numbers_are_not_missing(folder):
    """A mark in a later segment or in `progress` explains why a number has no frame."""
    segment(folder, 13, Mark(12, 12, "disk"), frames(13, 13))
    progress(folder, 4, 13, [Mark(11, 11, "journal_full")])
    assert (inspect(folder).corrupt, inspect(folder).pending) == (0, 7)


def test_numbers_lost_since_the_segments_were_read_do_not_count(folder):
    """A running connector may save a mark whose number no segment had reached yet."""
    progress(folder, 4, 10, [Mark(15, 16, "disk")])
    assert (inspect(folder).corrupt, inspect(folder).pending) == (0, 6)


def test_frames_written_twice_count_once(folder):
    """After a failed sync the next segment repeats what is not known to be synced."""
    segment(folder, 9, frames(9, 12))
    found = inspect(folder)
    assert (found.pending, found.corrupt, found.problems) == (8, 0, [])


def test_a_damaged_header_is_damage(folder):
    """Its records are read all the same."""
    path = folder / "00000000000000000007.log"
    path.write_bytes(b"X" + path.read_bytes()[1:])
    found = inspect(folder)
    assert (found.segments[-1].damaged, found.corrupt) == (True, 0)


def test_a_segment_that_is_being_created(folder):
    """A header that is not whole yet is no damage."""
    (folder / "00000000000000000011.log").write_bytes(header(11)[:9])
    found = inspect(folder)
    assert (found.problems, found.torn_bytes) == ([], 9)


def test_an_empty_segment_is_no_damage(folder):
    """A power cut may leave the name of a segment without its content."""
    for first in (11, 40):
        (folder / f"{first:020d}.log").write_bytes(b"")
    assert (inspect(folder).problems, inspect(folder).pending) == ([], 6)


def test_a_damaged_progress_hides_nothing(folder):
    """Without a readable `progress`, what no segment calls finished is pending."""
    (folder / "progress").write_bytes(b"{")
    assert (inspect(folder).watermark, inspect(folder).pending) == (0, 10)
    assert inspect(folder).problems == [f"{folder / 'progress'} is damaged or cannot be read."]
    segment(folder, 7, Mark(1, 3, None), frames(7, 10))
    assert (inspect(folder).watermark, inspect(folder).pending) == (3, 7)


@pytest.mark.parametrize(
    "content", [b"", b"{", sealed({}), sealed({"texts": []}), sealed({"texts": {}})[:-3], b"\xff" * 100]
)
def test_damaged_saved_texts_are_told(folder, content):
    """A start without Kafka needs them, so a backup without them is not sound."""
    (folder / "saved.json").write_bytes(sealed({"texts": {"lists": "{}"}}))
    assert inspect(folder).problems == []
    (folder / "saved.json").write_bytes(content)
    assert inspect(folder).problems == [f"{folder / 'saved.json'} is damaged or cannot be read."]
    assert inspect(folder).pending == 6


def test_other_files_do_not_matter(folder):
    """Only files named as segments are read."""
    before = inspect(folder)
    (folder / "1.log").write_bytes(b"x")
    (folder / "00000000000000000099.log.d").mkdir()
    assert inspect(folder).segments == before.segments


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to(path.with_name("x"))])
def test_what_only_has_the_name_of_a_segment_is_damage(folder, make):
    """A start refuses it, too. No symlink is followed, and no pipe is waited for."""
    path = folder / "00000000000000000007.log"
    path.rename(folder / "x")
    make(path)
    found = inspect(folder)
    assert [(each.file, each.damaged) for each in found.segments][1:] == [(path.name, True)]
    assert any(path.name in problem for problem in found.problems)


def test_a_huge_progress_is_damage(folder, monkeypatch):
    """A file with a hole of terabytes is no reason to run out of memory."""
    monkeypatch.setattr(inspection, "MOST_READ_BYTES", 10)
    assert inspect(folder).problems == [f"{folder / 'progress'} is damaged or cannot be read."]


def test_a_segment_deleted_meanwhile(folder, monkeypatch):
    """A running connector may delete a segment after its name was read."""
    names, read = [], inspection._scan

    def scan(path):
        names.append(path.name)
        if len(names) == 1:
            path.unlink()
            progress(folder, 6, 10)
        return read(path)

    monkeypatch.setattr(inspection, "_scan", scan)
    found = inspect(folder)
    assert ([each.first for each in found.segments], found.problems) == ([7], [])


@pytest.mark.parametrize("name", ["00000000000000000001.log", "progress"])
def test_a_newer_version_is_refused(folder, monkeypatch, name):
    """What a newer version wrote is not judged."""
    monkeypatch.setattr(recovery, "FORMAT", 0)
    if name != "progress":
        (folder / "progress").unlink()
    with pytest.raises(JournalUnusable, match="written by a newer version"):
        inspect(folder)


@pytest.mark.parametrize("name", ["none", "file"])
def test_no_journal(tmp_path, name):
    """A folder that is missing, or a file, is a malformed request."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestMalformed, match="Give"):
        inspect(tmp_path / name)
