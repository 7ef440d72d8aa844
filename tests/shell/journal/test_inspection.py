"""An inspection tells what a journal holds, and disturbs nobody."""

import pytest

from connector.core.journal.record import Mark
from connector.core.journal.state import Progress
from connector.errors import JournalUnusable
from connector.shell.journal.inspection import inspect
from connector.shell.journal.recovery import PROGRESS
from tests.shell.journal.logs import block, new_log


@pytest.fixture
def log(tmp_path):
    """Return a log in use, of two segments, with a lost range."""
    made = new_log(tmp_path / "journal")
    assert made.folder.lock() is None
    made.write([block(1, 5)], [], 0)
    made.seal()
    made.write([block(6, 10), Mark(11, 14, "disk"), block(15, 15)], [], 0)
    made.folder.replace(PROGRESS, Progress(3, 15, {}, [], {}, 1).to_bytes())
    yield made
    made.close()


def test_a_sound_journal_in_use(log):
    """Segments, pending frames and watermark are told, and no file changes."""
    before = {path: path.read_bytes() for path in log.folder.path.iterdir()}
    found = inspect(log.folder.path)
    assert [(view.file, view.first, view.last, view.damaged) for view in found.segments] == [
        ("00000000000000000001.log", 1, 5, False),
        ("00000000000000000006.log", 6, 15, False),
    ]
    assert (found.pending, found.watermark, found.corrupt) == (8, 3, 0)
    assert found.bytes == sum(map(len, before.values()))
    assert {path: path.read_bytes() for path in log.folder.path.iterdir()} == before


def test_a_damaged_record_is_damage(log):
    """A damaged frame is told by its segment and by the count."""
    path = log.folder.path / "00000000000000000006.log"
    content = bytearray(path.read_bytes())
    content[content.index(b"%0100d" % 8)] ^= 1
    path.write_bytes(content)
    found = inspect(log.folder.path)
    assert [view.damaged for view in found.segments] == [False, True]
    assert (found.pending, found.corrupt) == (7, 1)


def test_a_record_being_written_is_no_damage(log):
    """The end of the last segment may be half a record; in an earlier segment it is damage."""
    for path in sorted(log.folder.path.glob("*.log"), reverse=True):
        path.write_bytes(path.read_bytes() + b"\xffREC half")
        assert inspect(log.folder.path).segments[1].damaged is False
    assert inspect(log.folder.path).segments[0].damaged is True


def test_a_place_without_a_journal(tmp_path):
    """A folder that does not exist is refused, and not created."""
    with pytest.raises(JournalUnusable):
        inspect(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
