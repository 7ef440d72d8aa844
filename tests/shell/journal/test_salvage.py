"""All that can be read of a damaged file is copied, the rest is counted, the file unchanged."""

import sqlite3

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.shell.journal import JournalFile
from connector.shell.journal.file import SessionKey
from connector.shell.journal.salvage import salvage


@pytest.fixture
def old(tmp_path):
    """Return the path of a closed journal: 1,000 frames, 100 finished, a key and a text."""
    path = tmp_path / "old" / "journal.db"
    file = JournalFile.open(path)
    frames = [Received(1000 + number, 0, 7, False, b"%0200d" % number) for number in range(1, 1001)]
    file.insert(1, frames, [SessionKey(0, 7, CipherKey("k", "i"))], {"watermark": 100, "lost_disk": 3})
    file.save("lists", "{}")
    file.close()
    return path


@pytest.fixture
def new(tmp_path):
    """Return a new journal."""
    file = JournalFile.open(tmp_path / "new" / "journal.db")
    yield file
    file.close()


def test_a_sound_file_is_copied_from_its_watermark_on(old, new):
    """Undelivered frames, progress, keys and texts are copied, and the old file is unchanged."""
    before = old.read_bytes()
    found = salvage(old, new._writer, 0, 0)
    assert found[:2] == (900, 0)
    assert new.read(100, 102, 1)[0].frames[0].raw == b"%0200d" % 101
    assert new.read(0, 100, 1)[0].frames == []
    assert new.progress() == {"watermark": 100, "lost_disk": 3}
    assert new.saved("lists") == "{}"
    assert new.cipher_keys() == [SessionKey(0, 7, CipherKey("k", "i"))]
    assert new.last_seq() == 1000
    assert old.read_bytes() == before


def test_a_known_watermark_beats_the_file(old, new):
    """A watermark given by the caller counts if it is above the file's."""
    assert salvage(old, new._writer, 950, 1000).frames == 50


def test_frames_on_a_bad_page_are_counted_and_the_rest_is_copied(old, new):
    """Frames before and after a bad page are copied, and its own frames are counted."""
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


def test_nothing_is_copied_from_garbage(old, new):
    """If the file is no database, the new one counts the frames known to be lost."""
    old.write_bytes(b"garbage" * 1000)
    found = salvage(old, new._writer, 10, 25)
    assert found[:2] == (0, 15)
    assert new.last_seq() == 25


def test_a_log_beside_the_file_is_read_too(old, new):
    """Commits that are only in SQLite's log are copied as well."""
    file = JournalFile.open(old)
    file.insert(1001, [Received(9, 0, 7, False, b"late")], (), {})
    assert salvage(old, new._writer, 0, 0).frames == 901
    file.close()


def test_a_salvage_is_all_or_nothing(old, new):
    """A copy that fails leaves the new file unchanged."""
    new._writer.execute(
        "CREATE TEMP TRIGGER no BEFORE INSERT ON progress WHEN NEW.name = 'watermark' "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(sqlite3.Error):
        salvage(old, new._writer, 0, 0)
    assert new.progress() == {}
    assert new.saved("lists") is None
