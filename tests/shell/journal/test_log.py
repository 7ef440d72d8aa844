"""The log stays within its bound, and gives up no frame that is needed."""

import os

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Key, Mark
from connector.shell.journal.folder import Folder
from connector.shell.journal.log import Full, Log
from connector.shell.journal.reading import read
from tests.shell.journal.logs import block, new_log, seqs


@pytest.fixture
def log(tmp_path):
    """Return an empty log of 1 MiB."""
    made = new_log(tmp_path / "journal")
    yield made
    made.close()


def fill(log, first, last, finished=0, step=100):
    """Write frames of these numbers, and sync them."""
    for start in range(first, last + 1, step):
        log.write([block(start, min(start + step - 1, last))], [], finished)
        log.sync()


def test_segments_are_named_by_their_first_number(log):
    """A full segment is followed by one that the next number names; every frame can be read."""
    fill(log, 1, 2000)
    assert len(log.segments) > 3
    for segment in log.segments:
        assert segment.name == f"{segment.first:020}.log"
        assert (log.folder.path / segment.name).stat().st_size == segment.size <= 2**16
    assert seqs(log, 0, 2001) == (list(range(1, 2001)), [])


class SyncedAtOnce(Log):
    """A log that is synced at the very moment its segments change, as the other thread may do."""

    @property
    def segments(self):
        return self._known

    @segments.setter
    def segments(self, segments):
        self._known = segments
        if segments:
            self.sync()


def test_a_sync_never_closes_a_segment_that_is_written_on(tmp_path):
    """A new segment stays open, however early the syncing thread sees it."""
    log = SyncedAtOnce(Folder(tmp_path / "journal"), [], 2**20, 3600.0)
    log.write([block(1, 5)], [], 0)
    log.write([block(6, 7)], [], 0)
    assert seqs(log, 0, 8) == ([1, 2, 3, 4, 5, 6, 7], [])
    log.close()


class BegunMeanwhile(Log):
    """A log whose sync, just before it reads an attribute, waits until a new segment is begun."""

    before_reading: str | None = None

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "before_reading"):
            self.before_reading = None
            self.seal()
            self.write([block(6, 7)], [], 0)
        return object.__getattribute__(self, name)


@pytest.mark.parametrize("attribute", ["segments", "_active"])
def test_a_sync_never_closes_a_segment_that_begins_meanwhile(tmp_path, attribute):
    """A segment that the writing thread begins while a sync begins stays open."""
    log = BegunMeanwhile(Folder(tmp_path / "journal"), [], 2**20, 3600.0)
    log.write([block(1, 5)], [], 0)
    log.before_reading = attribute
    log.sync()
    assert log.before_reading is None
    assert [segment.fd is None for segment in log.segments] == [True, False]
    log.close()


def test_a_sync_never_closes_a_segment_whose_failed_write_is_being_undone(log, monkeypatch):
    """The error is the disk's, also if a sync ends while a partial write is cut off."""
    log.write([block(1, 5)], [], 0)

    def fail(*_):
        raise OSError(28, "No space left on device")

    truncate = os.ftruncate
    monkeypatch.setattr(os, "write", fail)
    monkeypatch.setattr(os, "ftruncate", lambda *args: (log.sync(), truncate(*args)))
    with pytest.raises(OSError, match="No space left"):
        log.write([block(6, 7)], [], 0)


def test_a_sync_includes_the_names(log, monkeypatch):
    """What a new segment holds is on the disk once its folder is synced, too."""
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    monkeypatch.setattr(os, "fsync", synced.append)
    log.write([block(1, 5)], [], 0)
    log.sync()
    assert synced == [log.segments[0].fd, log.folder.fd]


def test_a_closed_segment_is_not_written(log):
    """What comes next begins a new one."""
    log.write([block(1, 5)], [], 0)
    log.sync()
    os.close(log.segments[0].fd)
    log.segments[0].fd = None
    log.write([block(6, 7)], [], 0)
    assert seqs(log, 0, 8) == ([1, 2, 3, 4, 5, 6, 7], [])


def test_the_sum_of_all_files_never_exceeds_the_bound(log):
    """Finished segments go, oldest first, just when a write needs their room."""
    log.state_bytes = 10_000
    for first in range(1, 20_001, 100):
        log.write([block(first, first + 99)], [], first - 1)
        log.sync()
        on_disk = sum(path.stat().st_size for path in log.folder.path.iterdir())
        assert on_disk + 10_000 <= log.used_bytes <= 2**20
    assert log.used_bytes > 0.85 * 2**20
    assert seqs(log, log.segments[0].first - 1, 20_001)[1] == []


def test_a_full_log_refuses_and_keeps_what_it_has(log):
    """If nothing is finished, a write that would exceed the bound is refused with the room left."""
    with pytest.raises(Full) as full:
        fill(log, 1, 20_000)
    held = log.segments[-1].last
    assert 0 <= full.value.room < 20_000
    assert seqs(log, 0, held + 1) == (list(range(1, held + 1)), [])
    log.write([block(held + 1, held + 200)], [], log.segments[1].first - 1)
    assert log.segments[0].first > 1


def test_a_segment_goes_only_if_all_of_it_is_finished(log):
    """A number below a segment's last keeps it."""
    fill(log, 1, 2000)
    log._retain_seconds = 0
    log.prune(log.segments[1].first - 2)
    assert log.segments[0].first == 1
    log.prune(log.segments[1].first - 1)
    assert log.segments[0].first > 1


def test_a_finished_segment_goes_when_it_is_old(log):
    """The active segment is sealed by age, and goes once it is synced and finished."""
    log._retain_seconds = 0
    log.write([block(1, 5)], [], 0)
    log.prune(5)
    assert len(log.segments) == 1, "it is not synced yet"
    log.sync()
    log.prune(5)
    assert log.segments == ()
    log.write([block(6, 6)], [], 5)
    assert seqs(log, 5, 7) == ([6], [])


def test_undelivered_frames_make_no_more_segments_with_age(log):
    """During an outage one segment grows, however short delivered frames are kept."""
    log._retain_seconds = 0
    for seq in range(1, 101):
        log.write([block(seq, seq)], [], 0)
        log.sync()
        log.prune(0)
    assert [segment.last for segment in log.segments] == [100]
    log.prune(1)
    log.write([block(101, 101)], [], 1)
    assert [segment.first for segment in log.segments] == [1, 101]


def test_a_segment_can_be_read_alone(log):
    """Each begins with the finished numbers and the keys of that moment."""
    key = Key(0, 0, 7, CipherKey("k" * 32, "i" * 16))
    log.write([block(1, 3)], [key], 0)
    log.seal()
    log.write([block(4, 6)], [key, Mark(1, 2, None)], 2)
    found = read(log.folder, log.segments, 3, 7, 10)
    assert found.keys == [key._replace(seq=3)]
    assert found.marks == [Mark(1, 2, None)]
    assert found.block == block(4, 6)


def test_a_key_alone_begins_no_segment(log):
    """A key without a segment to append to waits for the next one, which begins with all keys."""
    log.write([Key(0, 0, 7, CipherKey("k" * 32, "i" * 16))], [], 0)
    assert log.segments == ()


def test_a_key_that_is_older_than_the_finished_numbers_is_in_the_head_alone(log):
    """A segment that begins with later finished numbers holds nothing that looks damaged."""
    key = Key(4, 0, 7, CipherKey("k" * 32, "i" * 16))
    log.write([key, block(9, 10)], [key, Mark(1, 8, None)], 0)
    assert read(log.folder, log.segments, 8, 11, 10).block == block(9, 10)
    assert not log.segments[0].is_damaged


@pytest.mark.parametrize(("first", "marks"), [(5, [Mark(1, 4, None)]), (1, [])])
def test_finished_numbers_go_no_further_in_the_head_than_to_the_first_frame(log, first, marks):
    """A segment whose first frames are lost, and so finished, holds nothing that looks damaged."""
    log.write([block(first, 10)], [Mark(1, 6, None)], 6)
    found = read(log.folder, log.segments, first - 1, 11, 10)
    assert (found.marks, found.block) == (marks, block(first, 10))
    assert not log.segments[0].is_damaged


def test_a_segment_that_cannot_be_removed_hides_no_later_frame(log, monkeypatch):
    """What is written again stays waiting until all that it replaces is gone."""
    for first in (1, 6, 11):
        log.seal()
        log.write([block(first, first + 4)], [], 0)
    log.retire()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(OSError, match="Input/output"):
            log.write([block(4, 15)], [], 0)
    assert [segment.first for segment in log.segments] == [1, 4, 6, 11]
    assert log.used_bytes == sum(path.stat().st_size for path in log.folder.path.iterdir())
    log.write([block(4, 15)], [], 0)
    log.write([block(16, 17)], [], 0)
    assert log.folder.names() == [segment.name for segment in log.segments]
    assert seqs(log, 0, 18) == (list(range(1, 18)), [])


def test_marked_numbers_are_not_missing(log):
    """Numbers with a mark are passed over; others that are not there are missing."""
    log.write([block(1, 3), Mark(4, 6, "disk"), block(7, 8), block(11, 12)], [], 0)
    log.seal()
    log.write([Mark(13, 20, None), block(21, 21)], [], 0)
    assert seqs(log, 0, 22) == ([1, 2, 3, 7, 8, 11, 12, 21], [9, 10])


def test_finished_numbers_may_lie_between_frames(log):
    """A mark in the place of frames that were delivered from memory is no end of a segment."""
    log.write([block(1, 3), Mark(4, 5, None), block(6, 7)], [], 0)
    assert [segment.last for segment in log.segments] == [7]
    assert seqs(log, 0, 8) == ([1, 2, 3, 6, 7], [])


def test_a_failed_write_leaves_whole_records(log, monkeypatch):
    """After a write that failed halfway, the segment ends with its last whole record."""
    log.write([block(1, 3)], [], 0)
    size, write = log.segments[0].size, os.write

    def failing(fd, data):
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return write(fd, data[:70])

    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(OSError, match="No space"):
        log.write([block(4, 6)], [], 0)
    with pytest.raises(OSError, match="No space"):
        log.write([block(4, 4)], [], 0)
    monkeypatch.undo()
    assert (log.folder.path / log.segments[0].name).stat().st_size == log.segments[0].size == size
    assert log.folder.names() == [log.segments[0].name], "a segment that could not be begun is gone"
    log.write([block(4, 6)], [], 0)
    assert len(log.segments) == 2
    assert seqs(log, 0, 7) == (list(range(1, 7)), [])


@pytest.mark.parametrize(("synced", "is_active"), [(0, True), (0, False), (5, True), (5, False)])
def test_what_a_failed_sync_may_have_lost_is_written_to_a_new_segment(log, monkeypatch, synced, is_active):
    """What is not known to be synced is in the segment after the failed one, which is the last."""
    if synced:
        log.write([block(1, synced)], [], 0)
        log.sync()
    log.write([block(synced + 1, 10)], [], 0)
    if not is_active:
        log.seal()
        log.write([block(11, 12)], [], 0)
        log.seal()
        log.write([block(13, 14)], [], 0)
    failed, last = log.segments[0], log.segments[-1].last
    monkeypatch.setattr(os, "fdatasync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        log.sync()
    monkeypatch.undo()
    assert log.retire() == [segment.name for segment in log.segments]
    assert all(segment.fd is None for segment in log.segments)
    path = log.folder.path / failed.name
    if synced:  # the kernel may have dropped what it could not write
        os.truncate(path, path.stat().st_size - 300)
    log.write([block(synced + 1, last)], [], 0)
    log.write([block(last + 1, last + 2)], [], 0)
    assert seqs(log, 0, last + 3) == (list(range(1, last + 3)), [])
    log.sync()
    assert [segment.first for segment in log.segments] == ([1, 6] if synced else [1])
    assert log.folder.names() == [segment.name for segment in log.segments]


def test_nothing_is_appended_after_a_failed_sync(log):
    """Even if there is nothing to write again, the next frames begin a segment."""
    log.write([block(1, 5)], [], 0)
    log.retire()
    log.write([block(6, 7)], [], 0)
    assert [segment.first for segment in log.segments] == [1, 6]


def test_other_files_get_room(log):
    """Room for the small files is made like room for frames."""
    fill(log, 1, 5000)
    with pytest.raises(Full):
        log.reserve(2**20, 0)
    log.reserve(600_000, 5000)
    assert log.used_bytes <= 2**20
    assert log.state_bytes == 600_000


def test_frames_leave_room_for_other_files_to_grow(log):
    """When no more frames fit, the small files may take a sixteenth more, and frames may not."""
    log.reserve(10_000, 0)
    with pytest.raises(Full):
        fill(log, 1, 20_000, step=1)
    spare = 2**20 - log.used_bytes
    assert 2**16 <= spare < 2**16 + 200
    log.reserve(10_000 + spare, 0)
    assert log.used_bytes == 2**20
    held = log.segments[-1].last
    with pytest.raises(Full):
        fill(log, held + 1, held + 1, finished=log.segments[1].first - 1)
    log.state_bytes = 10_000
    fill(log, held + 1, held + 1, finished=held)
    assert log.used_bytes <= 2**20 - 2**16


def test_what_is_found_at_a_start_is_never_appended_to(tmp_path):
    """A log over known segments begins a new one."""
    first = new_log(tmp_path / "journal")
    first.write([block(1, 3)], [], 0)
    first.sync()
    again = Log(first.folder, first.segments, 2**20, 3600.0)
    again.write([block(4, 5)], [], 0)
    assert [segment.first for segment in again.segments] == [1, 4]
    first.close()
