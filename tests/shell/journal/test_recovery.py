"""A start finds what the last process left, and cuts only what was never whole."""

import errno
import os

import pytest
import structlog

from connector.core.cipher_key import CipherKey
from connector.core.journal import record
from connector.core.journal.record import FORMAT, HEADER_BYTES, RECORD_BYTES, Key, Mark, header
from connector.core.journal.state import Progress, sealed
from connector.errors import JournalUnusable
from connector.shell.journal import segment
from connector.shell.journal.folder import LOCK, Folder
from connector.shell.journal.recovery import PROGRESS, SAVED, look, recover
from connector.shell.journal.segment import Unreadable
from tests.shell.journal.logs import block, new_log, seqs

NOTHING = Progress(0, 0, {}, [], {}, 1)
KEY = Key(0, 0, 7, CipherKey("k" * 32, "i" * 16))


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a segment of the frames 1 to 5 and one of the frames 6 to 10."""
    log = new_log(tmp_path / "journal")
    log.write([block(1, 5)], [], 0)
    log.seal()
    log.write([block(6, 10)], [KEY], 0)
    log.sync()
    log.close()
    made = Folder(tmp_path / "journal")
    yield made
    made.close()


def last(folder):
    """Return the path of the last segment."""
    return max(folder.path.glob("*.log"))


def test_a_sound_folder_is_read_as_it_is(folder):
    """Numbers, keys and counts are those that were written."""
    folder.replace(PROGRESS, NOTHING._replace(watermark=3, synced=10, lost={"disk": 1}).to_bytes())
    found = recover(folder, look(folder))
    assert [segment.first for segment in found.segments] == [1, 6]
    assert found.segments[-1].last == 10
    assert [key.key for key in found.keys] == [KEY.key]
    tally = found.tally
    assert (tally.watermark, tally.last, tally.finished, tally.pending, tally.lost) == (3, 10, 2, 7, {"disk": 1})


def test_an_empty_folder_begins_with_nothing(tmp_path):
    """A new folder has no frames."""
    folder = Folder(tmp_path / "journal")
    assert (recover(folder, look(folder)).tally.last, recover(folder, look(folder)).segments) == (0, [])
    folder.close()


def test_a_tail_torn_at_any_byte_is_cut_and_nothing_else(folder):
    """Whatever the place, whole frames stay, and only synced ones that are gone are corrupt."""
    log = new_log(folder.path)
    log.write([block(11, 15, size=20)], [KEY], 0)
    log.close()
    folder.replace(PROGRESS, NOTHING._replace(synced=12).to_bytes())
    path, content, sizes = last(folder), last(folder).read_bytes(), set()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        found = recover(folder, look(folder))
        left = path.read_bytes() if path.exists() else b""
        frames = left.count(b"0" * 18)
        assert end - len(left) < (64 if frames else len(content) - 5 * 60)
        assert found.tally.last == max(12, 10 + frames)
        assert found.tally.lost == ({"corrupt": 2 - frames} if frames < 2 else {})
        assert found.tally.pending == 10 + frames
        sizes.add(len(left))
    assert len(sizes) == 6, "none, the key, and one to four frames"


def test_damage_before_a_later_record_is_not_cut(folder):
    """A damaged record in the middle leaves the later ones."""
    content = bytearray(last(folder).read_bytes())
    content[content.index(b"%0100d" % 8)] ^= 1
    last(folder).write_bytes(content)
    found = recover(folder, look(folder))
    assert found.tally.last == 10
    assert last(folder).stat().st_size == len(content)


def test_a_last_segment_without_a_whole_record_is_removed(folder):
    """The segment before it is then the last."""
    last(folder).write_bytes(header(6) + bytes(1000))
    found = recover(folder, look(folder))
    assert [segment.first for segment in found.segments] == [1]
    assert found.tally.last == 5
    assert [path.name for path in folder.path.glob("*.log")] == ["00000000000000000001.log"]


def test_an_empty_last_segment_says_nothing(folder):
    """A power cut may leave only its name, and the end of the segment before it may be gone."""
    last(folder).write_bytes(b"")
    first = folder.path / "00000000000000000001.log"
    first.write_bytes(first.read_bytes()[:-1])
    found = recover(folder, look(folder))
    assert [segment.first for segment in found.segments] == [1]
    assert (found.tally.last, found.tally.lost) == (4, {})


def test_a_watermark_above_the_last_record_is_kept(folder):
    """Numbers go on after it: the records up to it were delivered and then lost with the power."""
    folder.replace(PROGRESS, NOTHING._replace(watermark=20, synced=20).to_bytes())
    tally = recover(folder, look(folder)).tally
    assert (tally.watermark, tally.last, tally.pending, tally.lost) == (20, 20, 0, {})


def test_lost_numbers_that_only_progress_knows_are_counted(folder):
    """A mark in progress is as good as one in the log."""
    folder.replace(PROGRESS, NOTHING._replace(synced=10, marks=[Mark(11, 30, "journal_full")]).to_bytes())
    tally = recover(folder, look(folder)).tally
    assert (tally.last, tally.pending, tally.lost) == (30, 10, {"journal_full": 20})


def test_without_progress_the_log_tells_what_was_finished(folder):
    """If progress is damaged, the watermark is the one at which the last segment began."""
    log = new_log(folder.path)
    log.segments = tuple(recover(folder, look(folder)).segments)
    log.write([block(11, 12)], [Mark(1, 9, None)], 9)
    log.close()
    (folder.path / PROGRESS).write_bytes(b"garbage")
    assert recover(folder, look(folder)).tally.watermark == 9


def test_without_progress_what_was_deleted_is_finished(folder):
    """Only whole delivered segments are deleted."""
    min(folder.path.glob("*.log")).unlink()
    found = recover(folder, look(folder))
    assert (found.tally.watermark, found.tally.pending, found.missing) == (5, 5, [])


def test_without_anything_but_segments_all_frames_are_pending(folder):
    """Without progress and finished numbers, everything is delivered again."""
    tally = recover(folder, look(folder)).tally
    assert (tally.watermark, tally.pending) == (0, 10)


@pytest.mark.parametrize(("synced", "count"), [(10, 1), (6, 1), (5, 1), (4, 2), (0, 2)])
def test_what_a_kill_left_to_the_kernel_is_synced(folder, monkeypatch, synced, count):
    """Each segment that may hold a number above the synced ones is on the disk, then the names."""
    folder.replace(PROGRESS, NOTHING._replace(synced=synced).to_bytes())
    calls = []
    for call in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, call, lambda fd: calls.append(os.fstat(fd).st_ino))
    assert recover(folder, look(folder)).tally.synced == 10
    files = [path.stat().st_ino for path in sorted(folder.path.glob("*.log"))]
    assert calls == [*files[-count:], folder.path.stat().st_ino]


@pytest.mark.parametrize("what", ["segment", "progress"])
def test_a_newer_version_is_refused(folder, monkeypatch, what):
    """A segment or a progress of a newer format is refused, and left alone."""
    monkeypatch.setattr(record, "FORMAT", 2)
    monkeypatch.setattr("connector.core.journal.state.FORMAT", 2)
    if what == "segment":
        last(folder).write_bytes(header(6))
    else:
        folder.replace(PROGRESS, NOTHING.to_bytes())
    monkeypatch.undo()
    with pytest.raises(JournalUnusable, match="newer version"):
        recover(folder, look(folder))
    assert what == "progress" or last(folder).stat().st_size == HEADER_BYTES


@pytest.fixture
def unreadable(monkeypatch):
    """Return a function that makes pages of a file unreadable, which counts as damage at once."""
    real = os.pread

    def break_pages(path, pages):
        inode = path.stat().st_ino

        def pread(fd, size, at):
            if os.fstat(fd).st_ino == inode and any(
                at // segment.PAGE <= page < (at + size) / segment.PAGE for page in pages
            ):
                raise OSError(errno.EIO, "Input/output error")
            return real(fd, size, at)

        monkeypatch.setattr(os, "pread", pread)

    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 0.0)
    return break_pages


def test_an_older_segment_that_the_disk_does_not_give_stops_no_start(folder, unreadable):
    """Its first page, and so its header, is read with its records and not before."""
    unreadable(min(folder.path.glob("*.log")), {0})
    found = recover(folder, look(folder))
    assert (found.tally.last, found.tally.lost) == (10, {})
    assert [each.size > 500 for each in found.segments] == [True, True]


def test_an_older_segment_that_cannot_be_opened_stops_no_start(folder, monkeypatch):
    """A damaged file is a segment all the same, but one that this user may not open is refused."""
    real, real_stat, error = folder.open, os.stat, errno.EUCLEAN

    def refuse(name, *flags):
        if name == "00000000000000000001.log":
            raise OSError(error, os.strerror(error))
        return real(name, *flags)

    def refuse_stat(name, **where):
        if name == "00000000000000000001.log":
            raise OSError(error, os.strerror(error))
        return real_stat(name, **where)

    monkeypatch.setattr(folder, "open", refuse)
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 0.0)
    found = recover(folder, look(folder))
    assert ([each.first for each in found.segments], found.tally.last) == ([1, 6], 10)
    assert found.segments[0].size == min(folder.path.glob("*.log")).stat().st_size
    monkeypatch.setattr(os, "stat", refuse_stat)
    found = recover(folder, look(folder))
    assert ([(each.first, each.size > 0) for each in found.segments], found.tally.last) == ([(1, False), (6, True)], 10)
    error = errno.EACCES
    with pytest.raises(PermissionError):
        look(folder)


@pytest.mark.parametrize("pages", [{0}, {2}, {4}, {0, 1, 2, 3, 4}])
def test_pages_of_the_last_segment_that_the_disk_does_not_give_are_damage(folder, unreadable, pages):
    """The synced frames on them are corrupt, and all others stay."""
    log = new_log(folder.path)
    log.write([block(11, 60, size=300)], [], 0)
    log.close()
    folder.replace(PROGRESS, NOTHING._replace(synced=60).to_bytes())
    size = RECORD_BYTES + 300
    begins = [(seq, HEADER_BYTES + place * size) for place, seq in enumerate(range(11, 61))]
    lost = [
        seq
        for seq, at in begins
        if not pages.isdisjoint(range(at // segment.PAGE, (at + size - 1) // segment.PAGE + 1))
    ]
    unreadable(last(folder), pages)
    found = recover(folder, look(folder))
    assert found.tally.last == 60
    log = new_log(folder.path)
    log.segments = tuple(found.segments)
    assert seqs(log, 10, 61) == ([seq for seq in range(11, 61) if seq not in lost], lost)
    assert found.tally.lost == ({"corrupt": len(lost)} if 60 in lost else {})
    log.close()


def test_the_last_segment_is_left_as_it_is_while_the_disk_may_come_back(folder, unreadable, monkeypatch):
    """A start that tries again on a disk that came back finds everything."""
    unreadable(last(folder), {0})
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 60.0)
    found = look(folder)
    for _ in range(2):
        with pytest.raises(Unreadable, match=last(folder).name):
            recover(folder, found)
    unreadable(last(folder), set())
    assert (recover(folder, found).tally.last, found.tally.lost) == (10, {})
    assert len(found.segments) == 2


def test_other_programs_files_are_left_alone(folder):
    """Files with other names change nothing, and stay."""
    names = ["lost+found", "notes.txt", "1.log", "00000000000000000001.log.gz", "x.new", "9" * 20 + ".log"]
    for name in names:
        (folder.path / name).write_bytes(b"x")
    found = recover(folder, look(folder))
    assert found.tally.last == 10
    assert all((folder.path / name).read_bytes() == b"x" for name in names)


def test_segments_that_were_not_finished_are_removed(folder):
    """What a kill left of a new segment is removed; the spare of a small file stays."""
    for name in ("progress.new", "00000000000000000006.log.new"):
        (folder.path / name).write_bytes(b"x")
    recover(folder, look(folder))
    assert [path.name for path in folder.path.glob("*.new")] == ["progress.new"]


@pytest.mark.parametrize("name", [LOCK, PROGRESS, SAVED, "00000000000000000006.log"])
@pytest.mark.parametrize("suffix", ["", ".new"])
def test_a_folder_in_the_place_of_a_file_is_refused(folder, name, suffix):
    """It is named at the start, even if it would be met only later."""
    path = folder.path / f"{name}{suffix}"
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(JournalUnusable, match=f"{path} is a folder, and so not the journal's"):
        look(folder)


@pytest.mark.parametrize("texts", [[], None, "x", 5])
def test_texts_that_are_none_are_damage(folder, texts):
    """The frames come all the same."""
    folder.replace(SAVED, sealed({"format": FORMAT, "texts": texts}))
    with structlog.testing.capture_logs() as logs:
        found = recover(folder, look(folder))
    assert (found.saved, found.tally.last) == ({}, 10)
    assert [(entry["event"], entry["file"]) for entry in logs] == [("journal_state_damaged", SAVED)]


SOUND = {"format": FORMAT, "watermark": 3, "synced": 10, "lost": {}, "marks": [], "lanes": {}, "alive_at": 1}


def test_a_sound_progress_is_used(folder):
    """The odd ones below differ from this in one value."""
    folder.replace(PROGRESS, sealed(SOUND))
    assert recover(folder, look(folder)).tally.pending == 7


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"format": FORMAT},
        *({**SOUND, "format": odd} for odd in ("x", None, [], {})),
        *(
            {**SOUND, name: odd}
            for name in ("watermark", "synced", "alive_at")
            for odd in ("x", None, [], {}, -1, 2**62, 10**300, 1.5, float("nan"), float("inf"))
        ),
        *(
            {**SOUND, "lost": odd}
            for odd in (None, "x", 5, [1], {"disk": "x"}, {"disk": -1}, {"disk": 2**62}, {"disk": None}, {"disk": [1]})
        ),
        *({**SOUND, "lost": odd} for odd in ({"lightning": 5}, {"": 5}, {"\udc80": 5})),
        *({**SOUND, "lanes": odd} for odd in (None, "x", 5, [1], {"a": "x"}, {"a": -1}, {"a": 2**62}, {"a": None})),
        *(
            {**SOUND, "marks": odd}
            for odd in (
                None,
                5,
                "xyz",
                {"a": 1},
                [5],
                ["xyz"],
                [[1]],
                [[1, 2, 3, 4]],
                [[1, 2, "lightning"]],
                [[1, 2, [1]]],
                [["a", 2, "disk"]],
                [[-1, 2, "disk"]],
                [[1, 2**62, "disk"]],
            )
        ),
    ],
    ids=lambda content: str(content)[:100],
)
def test_a_progress_that_says_nothing_is_damage(folder, content):
    """All frames are pending, as without a progress."""
    folder.replace(PROGRESS, sealed(content))
    with structlog.testing.capture_logs() as logs:
        found = recover(folder, look(folder))
    assert (found.tally.last, found.tally.pending) == (10, 10)
    assert [(entry["event"], entry["file"]) for entry in logs] == [("journal_state_damaged", PROGRESS)]
