"""What can be read of a damaged file is taken over, what cannot is counted, and the old file is not touched."""

import sqlite3

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.shell.journal import JournalFile
from connector.shell.journal.file import KeptKey
from connector.shell.journal.salvage import salvage


@pytest.fixture
def old(tmp_path):
    """Return the path of a closed journal of 1,000 frames, 100 of them finished, with a key and a text."""
    path = tmp_path / "old" / "journal.db"
    file = JournalFile.open(path)
    frames = [Received(1000 + number, 0, 7, False, b"%0200d" % number) for number in range(1, 1001)]
    file.insert(1, frames, [KeptKey(0, 7, CipherKey("k", "i"))], {"watermark": 100, "lost_disk": 3})
    file.keep("lists", "{}")
    file.close()
    return path


@pytest.fixture
def new(tmp_path):
    """Return a fresh journal."""
    file = JournalFile.open(tmp_path / "new" / "journal.db")
    yield file
    file.close()


def test_a_sound_file_is_taken_over_behind_its_watermark(old, new):
    """Undelivered frames keep their numbers; progress, keys and texts come along; the old file keeps its bytes."""
    before = old.read_bytes()
    found = salvage(old, new._writer, 0, 0)
    assert found[:2] == (900, 0)
    assert new.read(100, 102, 1)[0].frames[0].raw == b"%0200d" % 101
    assert new.read(0, 100, 1)[0].frames == []
    assert new.progress() == {"watermark": 100, "lost_disk": 3}
    assert new.kept("lists") == "{}"
    assert new.cipher_keys() == [KeptKey(0, 7, CipherKey("k", "i"))]
    assert new.last_seq() == 1000
    assert old.read_bytes() == before


def test_what_is_known_of_a_file_beats_what_it_says(old, new):
    """A watermark that moved on since is taken from whoever knows."""
    assert salvage(old, new._writer, 950, 1000).frames == 50


def test_frames_on_a_bad_page_are_counted_and_the_rest_is_taken(old, new):
    """One leaf of the table is garbage: the frames before and behind it are there, the others are a loss in the progress."""
    content = bytearray(old.read_bytes())
    leaves = [place for place in range(0, len(content), 4096) if content[place] == 13]
    place = leaves[len(leaves) // 2]
    content[place : place + 4096] = b"\xff" * 4096
    old.write_bytes(content)
    found = salvage(old, new._writer, 0, 0)
    assert 0 < found.unreadable < 40
    assert found.frames + found.unreadable == 900
    assert 1000 < found.from_ns <= found.to_ns <= 2000
    assert new.progress()["lost_corrupt"] == found.unreadable
    rows = new._reader.execute("SELECT count(*), max(seq) FROM frame").fetchone()
    assert rows == (found.frames, 1000)


def test_nothing_is_taken_from_garbage(old, new):
    """A file that is no database leaves a fresh one, of which what is known is counted."""
    old.write_bytes(b"garbage" * 1000)
    found = salvage(old, new._writer, 10, 25)
    assert found[:2] == (0, 15)
    assert new.last_seq() == 25


def test_a_log_beside_the_file_is_read_too(old, new):
    """Commits that are only in SQLite's own log are taken over."""
    file = JournalFile.open(old)
    file.insert(1001, [Received(9, 0, 7, False, b"late")], (), {})
    assert salvage(old, new._writer, 0, 0).frames == 901
    file.close()


def test_a_salvage_is_all_or_nothing(old, new):
    """A copy that fails leaves the new file as it was."""
    new._writer.execute(
        "CREATE TEMP TRIGGER no BEFORE INSERT ON progress WHEN NEW.name = 'watermark' BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.Error):
        salvage(old, new._writer, 0, 0)
    assert new.progress() == {}
    assert new.kept("lists") is None
