"""A segment on a disk that fails is read page by page, and only for what fails for long."""

import errno
import os

import pytest

from connector.shell.journal import segment
from connector.shell.journal.segment import PAGE, Segment

CONTENT = bytes(range(1, 251)) * 100  # no zero in it; six whole pages and a part
REAL = os.pread


class Disk:
    """Gives a file but for the `bad` pages; a read that meets one may be short, or fail."""

    def __init__(self):
        self.bad, self.is_short = set(), False

    def pread(self, fd, size, at):
        """Read as os.pread does."""
        ends = [page * PAGE for page in sorted(self.bad) if page * PAGE < at + size and (page + 1) * PAGE > at]
        if not ends:
            return REAL(fd, size, at)
        if self.is_short and ends[0] > at:
            return REAL(fd, ends[0] - at, at)
        raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def disk(monkeypatch):
    """Return a disk that the test may break; an unreadable page counts as damaged at once."""
    made = Disk()
    monkeypatch.setattr(os, "pread", made.pread)
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 0.0)
    return made


@pytest.fixture
def file(tmp_path):
    """Return the descriptor of an open file with the content."""
    (tmp_path / "file").write_bytes(CONTENT)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("at", [0, 1, PAGE - 1, PAGE, 3 * PAGE + 7, len(CONTENT) - 1, len(CONTENT)])
@pytest.mark.parametrize("size", [1, PAGE, 3 * PAGE, 2**20])
def test_what_a_good_disk_has_is_read(file, disk, at, size):
    """A read within, at and over the end gives what the file has."""
    one = Segment(1, 1, 0, 0.0)
    assert one.pread(file, size, at) == CONTENT[at : at + size]
    disk.bad = {99}
    assert one.pread(file, size, at) == CONTENT[at : at + size]


@pytest.mark.parametrize("is_short", [False, True])
@pytest.mark.parametrize("bad", [{0}, {2}, {1, 4}, {6}, set(range(7))])
@pytest.mark.parametrize("at", [0, 5, PAGE + 3])
def test_only_the_pages_that_fail_are_zeros(file, disk, bad, is_short, at):
    """Every byte of the other pages is there, in its place, up to the end of the file."""
    disk.bad, disk.is_short = bad, is_short
    expected = bytearray(CONTENT)
    for page in bad:
        expected[page * PAGE : (page + 1) * PAGE] = bytes(len(expected[page * PAGE : (page + 1) * PAGE]))
    assert Segment(1, 1, 0, 0.0).pread(file, 2**20, at) == expected[at:]


def test_a_disk_gets_time_to_come_back(file, disk, monkeypatch):
    """While an error is young it is an error with the file's name; all pages' times run at once."""
    now = [100.0]
    monkeypatch.setattr(segment.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 60.0)
    one, disk.bad = Segment(1, 1, 0, 0.0), {1, 3}
    for now[0] in (100.0, 159.0):
        with pytest.raises(OSError, match=one.name):
            one.pread(file, 2**20, 0)
    disk.bad = {3}
    now[0] = 160.0
    found = one.pread(file, 2**20, 0)
    assert found[: 3 * PAGE] == CONTENT[: 3 * PAGE]
    assert found[3 * PAGE : 4 * PAGE] == bytes(PAGE)
    disk.bad = {1}
    with pytest.raises(OSError, match=one.name):  # the page came back meanwhile, so its time begins again
        one.pread(file, 2**20, 0)


def test_each_failure_gets_the_whole_time(file, disk, monkeypatch):
    """A page that came back and fails again later is waited for as long as the first time."""
    now = [100.0]
    monkeypatch.setattr(segment.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 60.0)
    one, others = Segment(1, 1, 0, 0.0), 4 * PAGE
    disk.bad = {1}
    with pytest.raises(OSError, match=one.name):
        one.pread(file, others, 0)
    assert one.pread(file, PAGE, others) == CONTENT[others : others + PAGE]
    now[0] = 159.0
    with pytest.raises(OSError, match=one.name):  # what another read found good begins no time again
        one.pread(file, others, 0)
    now[0] = 160.0
    assert one.pread(file, others, 0)[PAGE : 2 * PAGE] == bytes(PAGE)
    disk.bad = set()
    assert one.pread(file, others, 0) == CONTENT[:others]
    disk.bad, now[0] = {1}, 4000.0
    with pytest.raises(OSError, match=one.name):
        one.pread(file, others, 0)
