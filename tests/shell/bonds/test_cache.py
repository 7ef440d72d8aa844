"""The bond master kept as a file."""

import os
import stat
from pathlib import Path

import pytest

from connector.core.bonds.master import MAX_BYTES
from connector.errors import RequestMalformed
from connector.shell.bonds import cache


def test_the_place_follows_xdg(monkeypatch, tmp_path):
    """It is below $XDG_CACHE_HOME, and below ~/.cache where that is not set, or relative, as the specification has it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_path() == tmp_path / "kis-bond/bond_code.mst"
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache.default_path() == tmp_path / "home/.cache/kis-bond/bond_code.mst"


def test_no_home(monkeypatch):
    """A user without a home has no place for it."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert cache.default_path() is None


def test_kept_and_read(tmp_path):
    """What was kept is read again, missing folders are made, closed to others, and nothing else lies beside the file."""
    path = tmp_path / "a/b/master"
    for content in (b"one", b"two"):
        cache.keep(path, content)
        assert cache.read(path) == content
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_sees_the_old_or_the_new_file_whole(tmp_path):
    """The file before is replaced, never written into."""
    path = tmp_path / "master"
    cache.keep(path, b"old")
    with path.open("rb") as reader:
        cache.keep(path, b"new content")
        assert reader.read() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, step):
    """On a full or failing disk the file before stays, and no half one beside it."""
    path = tmp_path / "master"
    cache.keep(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(RequestMalformed, match="master could not be written: No space left on device"):
        cache.keep(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["file/master", "folder"])
def test_a_place_that_cannot_be_written(tmp_path, where):
    """A folder that is a file, or a file that is a folder, is told with the way out."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(RequestMalformed, match=r"could not be written: .* Give another place with --to"):
        cache.keep(tmp_path / where, b"")


def test_what_cannot_be_read(tmp_path):
    """A missing file, a folder, a device and a pipe are told, and not waited for."""
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "missing", f"There is no file {tmp_path / 'missing'}"),
        (tmp_path, "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / ("x" * 300), "could not be read: File name too long"),
    ):
        with pytest.raises(RequestMalformed, match=said) as failed:
            cache.read(path)
        assert isinstance(failed.value, cache.NotThere) == (path.name == "missing")


def test_a_file_that_is_too_large(tmp_path):
    """A file of the greatest size is read, a larger one refused, and not taken into memory first."""
    path = tmp_path / "master"
    for size, fits in ((MAX_BYTES, True), (MAX_BYTES + 1, False), (1 << 40, False)):
        with path.open("wb") as file:
            file.truncate(size)
        if fits:
            assert len(cache.read(path)) == size
        else:
            with pytest.raises(RequestMalformed, match="is larger than 32 MiB"):
                cache.read(path)
