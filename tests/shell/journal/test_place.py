"""The journal is in the folder that its path means, whatever files are there."""

import fcntl

import pytest
import structlog

from connector.errors import JournalUnusable
from connector.shell.journal.place import SQLITE, place


def lookalike(path):
    """Make what looks like a journal of the earlier kind, with its log."""
    path.write_bytes(SQLITE + bytes(84))
    path.with_name(f"{path.name}-wal").write_bytes(b"log")


def test_a_new_path_is_the_folder(tmp_path):
    """Nothing is created, and nothing taken over."""
    assert place(tmp_path / "journal") == (tmp_path / "journal", None)
    assert list(tmp_path.iterdir()) == []


def test_a_path_with_db_means_the_folder_without(tmp_path):
    """Whether the file is there or not, the folder is the same."""
    assert place(tmp_path / "journal.db") == (tmp_path / "journal", None)
    lookalike(tmp_path / "journal.db")
    assert place(tmp_path / "journal.db") == (tmp_path / "journal", tmp_path / "journal.db")
    assert place(tmp_path / "journal") == (tmp_path / "journal", tmp_path / "journal.db")


def test_a_file_whose_name_the_folder_needs_is_renamed_with_its_log(tmp_path):
    """A trial renames nothing."""
    lookalike(tmp_path / "journal")
    place(tmp_path / "journal", is_trial=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal", "journal-wal"]
    assert place(tmp_path / "journal") == (tmp_path / "journal", tmp_path / "journal.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.db", "journal.db-wal", "journal.lock"]


def test_a_folder_named_db_is_the_journal(tmp_path):
    """An existing folder is used whatever its name."""
    (tmp_path / "journal.db").mkdir()
    assert place(tmp_path / "journal.db") == (tmp_path / "journal.db", None)


@pytest.mark.parametrize("name", ["journal", "journal.db"])
def test_any_other_file_is_refused(tmp_path, name):
    """A file that is no journal stays what it is."""
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(JournalUnusable, match="no journal"):
        place(tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"precious"


def test_another_file_beside_the_path_is_ignored_but_told_of(tmp_path):
    """`<path>.db` is taken over only if it is a journal; a damaged beginning is one sign of one."""
    (tmp_path / "journal.db").write_bytes(b"precious")
    with structlog.testing.capture_logs() as logs:
        assert place(tmp_path / "journal") == (tmp_path / "journal", None)
    assert [(entry["event"], entry["file"]) for entry in logs] == [
        ("journal_file_ignored", str(tmp_path / "journal.db"))
    ]


@pytest.mark.parametrize("other", ["journal.db", "journal.db-wal", "journal.db-shm", "journal.db-journal", "journal.1"])
def test_a_file_whose_name_the_folder_needs_replaces_no_other(tmp_path, other):
    """Both stay, and the sentence names the one in the way."""
    lookalike(tmp_path / "journal")
    (tmp_path / other).write_bytes(b"precious")
    with pytest.raises(JournalUnusable, match=other):
        place(tmp_path / "journal")
    assert (tmp_path / other).read_bytes() == b"precious"
    assert (tmp_path / "journal").is_file()


def test_a_file_that_the_earlier_version_holds_is_not_renamed(tmp_path):
    """It is held by the lock of its own name."""
    lookalike(tmp_path / "journal")
    with (tmp_path / "journal.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalUnusable, match="held by another instance"):
            place(tmp_path / "journal")
    assert (tmp_path / "journal").is_file()
