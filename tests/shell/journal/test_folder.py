"""The folder has one owner, and its files are private whoever made them."""

import os
import socket
import subprocess
import sys

import pytest

from connector.errors import JournalUnusable
from connector.shell.journal import folder as module
from connector.shell.journal.folder import Folder


@pytest.fixture
def folder(tmp_path):
    """Return a new folder."""
    found = Folder(tmp_path / "journal")
    yield found
    found.close()


def test_a_folder_it_creates_is_private(folder):
    """A folder that was missing has mode 0700; its files have 0600 under any umask."""
    before = os.umask(0)
    try:
        folder.replace("progress", b"x")
        assert folder.lock() is None
    finally:
        os.umask(before)
    assert folder.mode == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}


def test_an_open_file_becomes_private(folder):
    """A file that others could read is made private when it is opened."""
    (folder.path / "progress").write_bytes(b"x")
    (folder.path / "progress").chmod(0o644)
    assert folder.read("progress") == b"x"
    assert (folder.path / "progress").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    """A failed read names the file, as the folder has several."""
    folder.replace("saved.json", b"x")
    path = folder.path / "saved.json"
    monkeypatch.setattr(folder, "open", lambda _: os.open(path, os.O_WRONLY))
    with pytest.raises(OSError, match=r"journal/saved\.json'"):
        folder.read("saved.json")


@pytest.mark.parametrize("name", ["lock", "progress", "00000000000000000001.log"])
def test_a_symbolic_link_is_refused(folder, tmp_path, name):
    """A file that is a symbolic link is refused with its name, and its target is left alone."""
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "target").chmod(0o644)
    (folder.path / name).symlink_to(tmp_path / "target")
    with pytest.raises(JournalUnusable, match=f"{name} is a symbolic link"):
        folder.lock() if name == "lock" else folder.read(name)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_a_symbolic_link_is_refused(tmp_path):
    """A link in the folder's place is refused."""
    (tmp_path / "real").mkdir()
    (tmp_path / "journal").symlink_to(tmp_path / "real")
    with pytest.raises(JournalUnusable, match="symbolic link"):
        Folder(tmp_path / "journal")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_foreign_owner_is_refused(folder):
    """A file of another user is refused with both users' numbers."""
    (folder.path / "progress").write_bytes(b"x")
    os.chown(folder.path / "progress", 12345, -1)
    with pytest.raises(JournalUnusable, match="belongs to uid 12345, not to this user"):
        folder.read("progress")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_a_foreign_owner_is_refused(tmp_path):
    """A folder that belongs to neither root nor this user is refused."""
    (tmp_path / "journal").mkdir()
    os.chown(tmp_path / "journal", 12345, -1)
    with pytest.raises(JournalUnusable, match="belongs to uid 12345"):
        Folder(tmp_path / "journal")


def make_socket(path):
    """Leave a socket behind."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("name", ["lock", "progress", "00000000000000000001.log"])
@pytest.mark.parametrize(
    ("make", "kind"), [(os.mkfifo, "no regular file"), (os.mkdir, "a folder"), (make_socket, "no regular file")]
)
def test_what_is_no_regular_file_is_refused(folder, name, make, kind):
    """A pipe in a file's place is refused without waiting for its other end."""
    make(folder.path / name)
    with pytest.raises(JournalUnusable, match=rf"{name} is {kind}, and so not the journal's\. Remove it\."):
        folder.lock() if name == "lock" else folder.read(name)


def test_a_lock_that_another_process_holds_names_it(folder):
    """The lock's holder is named, and its end releases the lock."""
    text = (
        "import sys; from pathlib import Path; from connector.shell.journal.folder import Folder\n"
        "folder = Folder(Path(sys.argv[1])); print(folder.lock(), flush=True); input()"
    )
    command = [sys.executable, "-c", text, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"None\n"
        assert folder.lock() == other.pid
        other.kill()
        other.wait()
    assert folder.lock() is None


def test_a_lock_removed_by_hand_lets_nobody_in(folder):
    """The folder stays held after somebody removed the file `lock`."""
    other = Folder(folder.path)
    assert other.lock() is None
    (folder.path / "lock").unlink()
    assert folder.lock() == 0
    other.close()
    assert folder.lock() is None


def test_a_replacement_is_whole(folder):
    """A replaced file has the new content, whatever the length of the one before."""
    for content in (b"old and long", b"new"):
        folder.replace("progress", content)
        assert folder.read("progress") == content


def test_a_replacement_needs_no_room(folder):
    """The next replacement uses the blocks of a spare file, so a full volume takes it."""
    folder.replace("progress", b"old")
    spare = (folder.path / "progress.new").stat()
    assert spare.st_blocks > 0
    folder.replace("progress", b"new")
    assert (folder.path / "progress").stat().st_ino == spare.st_ino
    assert folder.names() == ["progress", "progress.new"]


def test_a_replacement_survives_a_power_cut(folder, monkeypatch):
    """The content is synced before it gets its name, and the name after that."""
    calls = []

    def noted(call, work):
        return lambda *given, **named: (calls.append(call), work(*given, **named))

    for call in ("fsync", "rename"):
        monkeypatch.setattr(os, call, noted(call, getattr(os, call)))
    folder.replace("progress", b"x")
    assert calls == ["fsync", "rename", "fsync"]


def test_a_missing_file_is_none(folder):
    """A file that does not exist has no content, and can be unlinked."""
    assert folder.read("progress") is None
    folder.unlink("progress")


def test_of_a_huge_file_only_the_beginning_is_read(folder, monkeypatch):
    """A file with a hole of terabytes is damage, and no reason to run out of memory."""
    monkeypatch.setattr(module, "MOST_READ_BYTES", 100)
    folder.replace("progress", b"x" * 101)
    assert folder.read("progress") == b"x" * 100


def test_what_is_no_file_is_not_replaced(folder):
    """It is named with its path, and with what to do."""
    (folder.path / "progress").mkdir()
    with pytest.raises(OSError, match=r"journal/progress is a folder, and so not the journal's\. Remove it\."):
        folder.replace("progress", b"x")
