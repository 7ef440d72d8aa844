"""A segment on a disk that fails is waited for, and then read page by page."""

import errno
import os

import pytest
import structlog

from connector.shell.journal import segment
from connector.shell.journal.folder import Folder, Foreign
from connector.shell.journal.segment import PAGE, Segment, Unreadable

CONTENT = bytes(range(1, 251)) * 100  # no zero in it; six whole pages and a part
REAL = os.pread


class Disk:
    """Gives a file but for the `bad` pages; a read that meets one may be short, or fail."""

    def __init__(self):
        self.bad, self.is_short, self.on_error = set(), False, list

    def pread(self, fd, size, at):
        """Read as os.pread does."""
        ends = [page * PAGE for page in sorted(self.bad) if page * PAGE < at + size and (page + 1) * PAGE > at]
        if not ends:
            return REAL(fd, size, at)
        if self.is_short and ends[0] > at:
            return REAL(fd, ends[0] - at, at)
        self.on_error()
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


@pytest.fixture
def now(monkeypatch):
    """Return a list with the time, which the test may change; a failure is waited for a minute."""
    made = [100.0]
    monkeypatch.setattr(segment.time, "monotonic", lambda: made[0])
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 60.0)
    return made


def assert_waits(one, file, at=0):
    """Check that a read gives an error with the file's name, as the disk may come back."""
    with pytest.raises(Unreadable, match=one.name):
        one.pread(file, 2 * PAGE, at)


def zeros(one, file, at=0):
    """Return which of two pages are read as zeros."""
    data = one.pread(file, 2 * PAGE, at)
    return [place for place in (0, 1) if data[place * PAGE : (place + 1) * PAGE] == bytes(PAGE)]


def test_a_disk_gets_time_to_come_back(file, disk, now):
    """While an error is young it is an error; later only what is still unreadable is zeros."""
    one, disk.bad = Segment(1, 1, 0, 0.0), {0, 1}
    for now[0] in (100.0, 159.0):
        assert_waits(one, file)
    disk.bad, now[0] = {1}, 160.0
    assert zeros(one, file) == [1]


def test_a_segment_is_waited_for_once(file, disk, now):
    """Once the time is over, every other unreadable page is zeros at once."""
    one, disk.bad = Segment(1, 1, 0, 0.0), {1, 3, 4}
    assert_waits(one, file)
    now[0] = 160.0
    assert zeros(one, file) == [1]
    now[0] = 219.0
    assert zeros(one, file, 2 * PAGE) == [1]
    now[0] = 278.0
    assert zeros(one, file, 4 * PAGE) == [0]


def test_a_good_read_elsewhere_begins_no_time_again(file, disk, now):
    """Other bytes of the file may be read well while some are waited for."""
    one, disk.bad = Segment(1, 1, 0, 0.0), {1}
    for now[0] in (100.0, 159.0):
        assert zeros(one, file, 4 * PAGE) == []
        assert one.pread(file, PAGE, 0) == CONTENT[:PAGE]
        assert_waits(one, file)
    now[0] = 160.0
    assert zeros(one, file) == [1]


def test_each_failure_gets_the_whole_time(file, disk, now):
    """What was read well again, or not met for long, is waited for as long as the first time."""
    one, disk.bad = Segment(1, 1, 0, 0.0), {1}
    assert_waits(one, file)
    disk.bad, now[0] = set(), 101.0
    assert zeros(one, file) == []
    disk.bad, now[0] = {1}, 160.0
    assert_waits(one, file)
    now[0] = 220.0
    assert zeros(one, file) == [1]
    disk.bad, now[0] = {3}, 281.0
    assert_waits(one, file, 2 * PAGE)


def test_a_disk_that_is_slow_to_fail_is_waited_for_once(file, disk, now):
    """The time an error takes to come counts as failing, and not as working."""
    one, disk.bad, disk.on_error = Segment(1, 1, 0, 0.0), {1, 3}, lambda: now.__setitem__(0, now[0] + 40)
    assert_waits(one, file)
    assert zeros(one, file) == [1]
    assert zeros(one, file, 2 * PAGE) == [1]


@pytest.mark.parametrize("error", [OSError(errno.EUCLEAN, "Structure needs cleaning"), Foreign("is a link")])
def test_a_file_that_cannot_be_opened_is_waited_for_and_then_passed(tmp_path, now, monkeypatch, error):
    """It gets as long as an unreadable page, and both share the time; then it is told as damage."""
    folder, one = Folder(tmp_path), Segment(1, 1, 500, 0.0)
    (tmp_path / one.name).write_bytes(b"x")
    with monkeypatch.context() as patch:
        patch.setattr(folder, "open", lambda _: (_ for _ in ()).throw(error))
        for now[0] in (100.0, 159.0):
            with pytest.raises(Unreadable, match=f"{one.name}: .*(cleaning|is a link)$"), one.opened(folder):
                pass
        now[0] = 160.0
        with structlog.testing.capture_logs() as logs, one.opened(folder) as fd:
            assert fd is None
    assert logs == [{"event": "journal_damaged", "file": one.name, "bytes": 500, "log_level": "error"}]
    with one.opened(folder) as fd:
        assert fd is not None
    assert one.failure is None
    folder.close()


def test_without_descriptors_a_file_is_not_given_up(tmp_path, now, monkeypatch):
    """A process that has too many files open says nothing of this one."""
    folder, one = Folder(tmp_path), Segment(1, 1, 500, 0.0)
    monkeypatch.setattr(folder, "open", lambda _: (_ for _ in ()).throw(OSError(errno.EMFILE, "Too many open files")))
    for now[0] in (100.0, 160.0):
        with pytest.raises(OSError, match="Too many"), one.opened(folder):
            pass
    folder.close()


def test_a_file_that_is_gone_is_none(tmp_path):
    """A segment may be unlinked before it is read."""
    folder = Folder(tmp_path)
    with Segment(1, 1, 500, 0.0).opened(folder) as fd:
        assert fd is None
    folder.close()
