"""The journal's file holds what was committed, is replaced if corrupt, and is not shared."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable
from connector.shell.journal import JournalFile
from connector.shell.journal.file import PRUNED_ROWS, ROWS_A_STATEMENT, SessionKey, _connect


@pytest.fixture
def path(tmp_path):
    """Return a journal's path in a folder that does not exist yet."""
    return tmp_path / "data" / "journal.db"


@pytest.fixture
def file(path):
    """Open a journal file."""
    opened = JournalFile.open(path)
    yield opened
    opened.close()


def frames(count, start=0, size=10):
    """Return frames that all differ."""
    return [
        Received(1000 + number, number % 3, 7, number % 2 == 1, b"%0*d" % (size, number))
        for number in range(start, start + count)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 100, ROWS_A_STATEMENT, 2 * ROWS_A_STATEMENT + 77])
def test_what_was_inserted_is_read_in_order(file, count):
    """Frames of commits of any size are read in order, under consecutive numbers."""
    file.insert(1, frames(count), (), {})
    block, damaged = file.read(0, count + 1, count + 1)
    assert (block.first_seq, block.frames, damaged) == (1, frames(count), {})
    assert file.last_seq() == count


def test_reading_is_bounded_on_both_sides(file):
    """A read begins after `after`, ends before `before` and holds at most `limit` frames."""
    file.insert(1, frames(20), (), {})
    assert file.read(4, 10, 3)[0].frames == frames(3, start=4)
    assert file.read(4, 7, 100)[0].frames == frames(2, start=4)


def test_numbers_go_on_after_everything_was_pruned(path):
    """An empty file still knows the last number it gave to a frame."""
    file = JournalFile.open(path)
    file.insert(1, frames(5), (), {})
    assert file.prune(5, None) == 5
    file.close()
    again = JournalFile.open(path)
    assert again.last_seq() == 5
    again.close()


def test_pruning_takes_the_oldest_delivered_frames_first(file):
    """Pruning deletes a bounded number of frames, each old enough and up to the number given."""
    file.insert(1, frames(PRUNED_ROWS + 50), (), {})
    assert file.prune(10, 1003) == 3
    assert file.prune(10, None) == 7
    assert file.prune(PRUNED_ROWS + 50, None) == PRUNED_ROWS
    assert file.read(0, 10**9, 1)[0].first_seq == PRUNED_ROWS + 11


def test_progress_and_small_texts_survive(path):
    """Progress is committed with the frames, and texts are saved by name."""
    file = JournalFile.open(path)
    file.insert(1, frames(2), (), {"watermark": 1})
    file.insert(3, (), (), {"watermark": 2, "lost_disk": 4})
    file.save("lists", "first")
    file.save("lists", "국고")
    file.close()
    again = JournalFile.open(path)
    assert again.progress() == {"watermark": 2, "lost_disk": 4}
    assert (again.saved("lists"), again.saved("other")) == ("국고", None)
    again.close()


def test_cipher_keys_live_as_long_as_their_frames(path):
    """Keys are read in order; opening drops the keys of sessions without frames."""
    key, newer = CipherKey("k" * 32, "i" * 16), CipherKey("n" * 32, "j" * 16)
    file = JournalFile.open(path)
    file.insert(
        1, [Received(1, 0, 7, False, b"x")], [SessionKey(0, 7, key), SessionKey(0, 7, newer), SessionKey(0, 8, key)], {}
    )
    file.close()
    again = JournalFile.open(path)
    assert [kept.key for kept in again.cipher_keys()] == [key, newer]
    again.close()


def test_a_failed_commit_leaves_nothing_behind(file):
    """One commit writes its frames, keys and progress together or not at all."""
    file.insert(5, frames(1), (), {})
    with pytest.raises(sqlite3.IntegrityError):
        file.insert(4, frames(3), [SessionKey(0, 7, CipherKey("k", "i"))], {"watermark": 9})
    assert file.progress() == {}
    assert file.cipher_keys() == []
    assert file.read(0, 100, 100)[0].frames == frames(1)


def test_a_damaged_row_is_left_out_and_reported(file, path):
    """A row with changed bytes fails its checksum; the frames beside it are still read."""
    file.insert(1, frames(5), (), {})
    with sqlite3.connect(path) as outside:
        outside.execute("UPDATE frame SET raw = x'00' WHERE seq = 3")
    outside.close()
    first, none = file.read(0, 6, 10)
    assert (first.frames, none) == (frames(2), {})
    second, damaged = file.read(2, 6, 10)
    assert (second.first_seq, second.frames) == (4, frames(2, start=3))
    assert {seq: frame.received_ns for seq, frame in damaged.items()} == {3: 1002}
    file.condemn([3], {"lost_corrupt": 1})
    assert file.read(2, 6, 10)[1] == {}, "a row known to be damaged is met only once"
    assert file.progress() == {"lost_corrupt": 1}


def test_files_are_private(file, path):
    """Database, WAL and lock have mode 0600; a folder created for them has 0700."""
    file.insert(1, frames(1), (), {})
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()} == dict.fromkeys(
        ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"], 0o600
    )


def test_an_existing_folder_keeps_its_mode(tmp_path):
    """The mode of an existing folder is not changed."""
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    JournalFile.open(folder / "journal.db").close()
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.usefixtures("file")
def test_a_journal_held_by_another_is_refused(path):
    """A second instance fails with the advice to stop the first or to use another path."""
    with pytest.raises(JournalUnusable, match="held by another instance"):
        JournalFile.open(path)


def test_a_newer_journal_is_refused_and_left_untouched(path):
    """A file of a newer version is neither opened nor migrated nor set aside."""
    JournalFile.open(path).close()
    with sqlite3.connect(path) as outside:
        outside.execute("PRAGMA user_version = 99")
    outside.close()
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match="newer version"):
        JournalFile.open(path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    """An unusable path fails with the folder's name and a fix."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(JournalUnusable, match=r"not writable.*journal\.path"):
        JournalFile.open(tmp_path / "file" / "journal.db")


@pytest.mark.parametrize("damage", ["garbage", "page", "truncated"])
def test_a_corrupt_journal_is_set_aside_and_a_fresh_one_begins(path, damage):
    """A corrupt file keeps its bytes under a new name, and a new file accepts frames."""
    file = JournalFile.open(path)
    file.insert(1, frames(2000, size=200), (), {})
    file.close()
    content = bytearray(path.read_bytes())
    match damage:
        case "garbage":
            content[:] = os.urandom(len(content))
        case "page":
            content[8192 : 8192 + 4096] = os.urandom(4096)
        case "truncated":
            del content[len(content) // 2 :]
    path.write_bytes(content)
    again = JournalFile.open(path)
    assert again.salvage is not None
    assert again.salvage.aside.read_bytes() == bytes(content)
    assert again.salvage.aside.stat().st_mode & 0o777 == 0o600
    last = again.last_seq()
    again.insert(last + 1, frames(1), (), {})
    assert again.read(last, last + 2, 1)[0].frames == frames(1)
    assert again.salvage.frames + again.salvage.unreadable == last
    assert again.progress().get("lost_corrupt", 0) == again.salvage.unreadable
    again.close()


def test_a_kill_loses_nothing_that_was_committed(path):
    """After a kill in the middle of a commit, every frame of an earlier commit is there."""
    script = (
        "import sys; from pathlib import Path\n"
        "from connector.core.ticks.frame import Received; from connector.shell.journal import JournalFile\n"
        "file = JournalFile.open(Path(sys.argv[1]))\n"
        "for seq in range(1, 10**6):\n"
        "    file.insert(seq, [Received(seq, 0, 1, False, b'x' * 100)], (), {}); print(seq, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    for line in child.stdout:
        if int(line) >= 300:
            break
    child.send_signal(signal.SIGKILL)
    committed = int([line, *child.stdout.read().split()][-1])
    child.stdout.close()
    child.wait()
    file = JournalFile.open(path)
    assert file.last_seq() >= committed
    assert len(file.read(0, committed + 1, committed)[0].frames) == committed
    file.close()


def test_used_bytes_shrink_when_frames_go(file):
    """Used bytes count pages in use, so they shrink although the file does not."""
    file.insert(1, frames(5000, size=200), (), {})
    file.truncate_wal()
    full = file.used_bytes()
    while file.prune(5000, None):
        pass
    file.checkpoint()
    file.truncate_wal()
    assert file.used_bytes() < full / 4


def test_an_unfit_file_is_renamed_at_the_close(path):
    """At the close, a successor takes the journal's name and the unfit file gets a new one."""
    first = JournalFile.open(path)
    first.insert(1, frames(10), (), {"watermark": 4})
    second = first.replaced(5, 10)
    assert path.exists()
    second.insert(11, frames(5, start=10), (), {})
    third = second.replaced(5, 15)
    third.insert(16, frames(1, start=15), (), {})
    third.close()
    names = sorted(entry.name for entry in path.parent.iterdir() if ".corrupt-" in entry.name)
    assert len(names) == 2
    again = JournalFile.open(path)
    assert again.read(0, 100, 100)[0] == (6, frames(11, start=5))
    assert again.salvage is None
    again.close()


def test_a_kill_with_a_successor_loses_nothing(path):
    """The next start finds the latest successor, with commits that are only in its log."""
    script = """
import os, sys
from pathlib import Path
from connector.core.ticks.frame import Received
from connector.shell.journal import JournalFile
file = JournalFile.open(Path(sys.argv[1]))
file.insert(1, [Received(1, 0, 7, False, b"one")], (), {})
successor = file.replaced(0, 1)
successor.insert(2, [Received(2, 0, 7, False, b"two")], (), {})
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    file = JournalFile.open(path)
    assert [frame.raw for frame in file.read(0, 10, 10)[0].frames] == [b"one", b"two"]
    assert (
        len(
            [
                entry
                for entry in path.parent.iterdir()
                if ".corrupt-" in entry.name and not entry.name.endswith(("-wal", "-shm"))
            ]
        )
        == 1
    )
    file.close()


def test_a_text_that_is_not_utf8_is_corruption(path):
    """A key that is not UTF-8 sets the file aside; its frames are copied to the new one."""
    file = JournalFile.open(path)
    file.insert(1, frames(3), [SessionKey(0, 7, CipherKey("k", "i"))], {})
    file.close()
    with sqlite3.connect(path) as outside:
        outside.execute("UPDATE cipher_key SET iv = CAST(x'fffe80' AS TEXT)")
    outside.close()
    again = JournalFile.open(path)
    assert again.salvage[:2] == (3, 0)
    assert again.cipher_keys() == []
    again.close()


def test_the_oldest_frame_is_known(file):
    """The oldest number is 0 in an empty file, and grows when frames are deleted."""
    assert file.first_seq() == 0
    file.insert(1, frames(10), (), {})
    assert file.first_seq() == 1
    file.prune(4, None)
    assert file.first_seq() == 5


def test_a_check_ended_by_the_close_has_no_result(path, monkeypatch):
    """A close ends the check; each start repeats it until one reaches its end."""
    monkeypatch.setattr("connector.shell.journal.file.CHECK_STEPS", 1)
    file = JournalFile.open(path)
    file.insert(1, frames(2000), (), {})
    file.close()
    with sqlite3.connect(path) as outside:
        outside.execute("UPDATE kept SET value = 'no' WHERE name = 'closed_cleanly'")
    outside.close()
    found = []
    file = JournalFile.open(path)
    assert not file.was_clean
    monkeypatch.setattr("connector.shell.journal.file._connect", _connect_after(closing := threading.Event()))
    checking = threading.Thread(target=lambda: found.append(file.is_sound()))
    checking.start()
    ending = threading.Thread(target=file.close)
    ending.start()
    while not file._is_closing:
        time.sleep(0.001)
    closing.set()
    for thread in (checking, ending):
        thread.join(10)
    assert found == [True], "nothing was found"
    file = JournalFile.open(path)
    assert not file.was_clean
    assert file.is_sound()
    file.close()
    file = JournalFile.open(path)
    assert file.was_clean
    file.close()


def _connect_after(moment):
    def connect(path):
        assert moment.wait(10)
        return _connect(path)

    return connect
