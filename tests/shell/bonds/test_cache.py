"""The user's copy of the bond master."""

import os
import stat
from pathlib import Path

import pytest

from connector.core.bonds.master import MAX_BYTES
from connector.errors import RequestMalformed
from connector.shell.bonds import cache


def test_the_place_follows_xdg(monkeypatch, tmp_path):
    """The copy is below $XDG_CACHE_HOME, or below ~/.cache if that is unset or relative."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_path() == tmp_path / "kis-bond/bond_code.mst"
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache.default_path() == tmp_path / "home/.cache/kis-bond/bond_code.mst"


def test_no_home(monkeypatch):
    """A user without a home has no default path."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.default_path() is None


def test_written_and_read(tmp_path):
    """The file is read back, missing folders are private, and no other file is left."""
    path = tmp_path / "a/b/master"
    for content in (b"one", b"two"):
        cache.replace(path, content)
        assert cache.read(path) == content
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_sees_the_old_or_the_new_file_whole(tmp_path):
    """The old file is replaced, never written into."""
    path = tmp_path / "master"
    cache.replace(path, b"old")
    with path.open("rb") as reader:
        cache.replace(path, b"new content")
        assert reader.read() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, step):
    """On a full or failing disk the old file stays, without a partial one beside it."""
    path = tmp_path / "master"
    cache.replace(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(RequestMalformed, match="master could not be written: No space left on device"):
        cache.replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["file/master", "folder"])
def test_a_place_that_cannot_be_written(tmp_path, where):
    """A path that cannot be written is reported with the remedy."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestMalformed, match=r"could not be written: .* Give another place with --to"):
        cache.replace(tmp_path / where, b"")


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_not_replaced(tmp_path, linked):
    """What is not a regular file stays as it is, also behind a link."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    path = tmp_path / ("link" if linked else "pipe")
    with pytest.raises(RequestMalformed, match=r"it is not a regular file. Give another place with --to"):
        cache.replace(path, b"new")
    assert path.is_fifo()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_link_to_a_regular_file_can_be_replaced(tmp_path):
    """A link to a file is no obstacle."""
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    cache.replace(tmp_path / "link", b"new")
    assert cache.read(tmp_path / "link") == b"new"


def test_what_cannot_be_read(tmp_path):
    """A missing file, a folder, a device and a pipe are reported without waiting."""
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "missing", f"There is no file {tmp_path / 'missing'}"),
        (tmp_path, "could not be read: Is a directory"),
        (Path("/dev/zero"), "could not be read: it has more than 32 MiB"),
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / ("x" * 300), "could not be read: File name too long"),
    ):
        with pytest.raises(RequestMalformed, match=said) as failed:
            cache.read(path)
        assert isinstance(failed.value, cache.NotThere) == (path.name == "missing")


def test_a_file_that_is_too_large(tmp_path):
    """A file larger than the limit is refused without being read into memory."""
    path = tmp_path / "master"
    for size, fits in ((MAX_BYTES, True), (MAX_BYTES + 1, False), (1 << 40, False)):
        with path.open("wb") as file:
            file.truncate(size)
        if fits:
            assert len(cache.read(path)) == size
        else:
            with pytest.raises(RequestMalformed, match="it has more than 32 MiB"):
                cache.read(path)
