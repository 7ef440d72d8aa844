"""The files of an earlier journal are held and renamed together, and replace no other."""

import contextlib
import os

import pytest

from connector.errors import JournalUnusable
from connector.shell.journal.earlier_names import held, refuse_successor, rename


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path.with_name("precious"))])
def test_a_lock_that_is_no_file_is_refused(tmp_path, make):
    """Nothing behind it is waited for or emptied."""
    (tmp_path / "precious").write_bytes(b"precious")
    make(tmp_path / "journal.lock")
    with contextlib.suppress(OSError), held(tmp_path / "journal"):
        pass
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_file_is_renamed_with_its_log(tmp_path):
    """A file alone would lack what its log has."""
    for name in ("a", "a-wal"):
        (tmp_path / name).write_bytes(name.encode())
    rename(tmp_path / "a", tmp_path / "b")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"b": b"a", "b-wal": b"a-wal"}


@pytest.mark.parametrize("other", ["b", "b-wal", "b-shm", "b-journal"])
def test_no_file_is_replaced(tmp_path, other):
    """SQLite would also take another file's log for its own."""
    for name in ("a", "a-wal", other):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(JournalUnusable, match=f"{other} is in the way"):
        rename(tmp_path / "a", tmp_path / "b")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "a", "a-wal": "a-wal", other: other}


def test_a_log_without_its_file_may_be_the_one_of_a_rename_that_was_cut_short(tmp_path):
    """A kill between the two renames must not cost the frames of the log."""
    for name in ("a", "b-wal"):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(JournalUnusable, match=r"b-wal .* may be the log of .*/a, with frames: .* name it .*/a-wal"):
        rename(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b-wal").rename(tmp_path / "a-wal")
    rename(tmp_path / "a", tmp_path / "b")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "a", "b-wal": "b-wal"}


def test_newer_files_that_cannot_be_looked_for_are_not_taken_for_none(tmp_path, monkeypatch):
    """A folder that may not be listed is an error."""
    (tmp_path / "a").write_bytes(b"a")
    refuse_successor(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda path: (_ for _ in ()).throw(PermissionError(13, "denied", path)))
        patch.setattr(os, "scandir", lambda path: (_ for _ in ()).throw(PermissionError(13, "denied", path)))
        with pytest.raises(PermissionError):
            refuse_successor(tmp_path / "a")
    (tmp_path / "a.1").write_bytes(b"a")
    with pytest.raises(JournalUnusable, match=r"a\.1 may have newer frames"):
        refuse_successor(tmp_path / "a")
