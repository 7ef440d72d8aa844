"""Small files are read whole, within a bound and without waiting."""

import os
import pty
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from connector import small_file


def test_a_file_of_the_largest_size_is_read_and_a_larger_one_is_not(tmp_path):
    """The bound is the last size that is read; the error tells it."""
    (path := tmp_path / "file").write_bytes(b"x" * 2**20)
    assert small_file.read(path, 2**20) == b"x" * 2**20
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(small_file.TooLarge, match="more than 1 MiB"):
        small_file.read(path, 2**20)
    with pytest.raises(small_file.TooLarge, match="more than 4 KiB"):
        small_file.read(path, 2**12)


def test_a_huge_sparse_file_is_not_read_to_its_end(tmp_path):
    """Five gigabytes of nothing cost no more than the bound."""
    with (path := tmp_path / "sparse").open("wb") as file:
        file.truncate(5 * 2**30)
    with pytest.raises(small_file.TooLarge):
        small_file.read(path, 2**16)


@pytest.mark.timeout(60)
def test_nothing_is_waited_for(tmp_path):
    """A pipe, a link to one, a socket, a folder and devices all end at once."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        terminal, other_end = pty.openpty()
        try:
            for path in (
                tmp_path / "pipe",
                tmp_path / "link",
                tmp_path / "socket",
                tmp_path,
                Path("/dev/zero"),
                Path(os.ttyname(other_end)),
            ):
                with pytest.raises(OSError, match=r"not a regular file|more than|directory|No such device"):
                    small_file.read(path, 2**10, may_be_shell_pipe=True)
        finally:
            os.close(terminal)
            os.close(other_end)
    assert small_file.read(Path("/dev/null"), 2**10) == b""


@pytest.mark.timeout(60)
def test_the_pipe_of_a_shell_is_read_only_if_it_may_be():
    """A pipe can be read but once, so that only a file that is read once may be one."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(small_file.NotRegular):
            small_file.read(Path(f"/dev/fd/{reader}"), 10)
        os.write(writer, b"words")
        os.close(writer)
        assert small_file.read(Path(f"/dev/fd/{reader}"), 10, may_be_shell_pipe=True) == b"words"
    finally:
        os.close(reader)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("blocks", [True, False])
def test_standard_input_may_be_a_socket(monkeypatch, blocks):
    """Standard input is read to its end however it comes and however late, and within the bound."""
    ours, theirs = socket.socketpair()
    with ours, theirs, os.fdopen(os.dup(theirs.fileno())) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        theirs.setblocking(blocks)
        late = threading.Timer(0.2, lambda: (ours.sendall(b"words"), ours.shutdown(socket.SHUT_WR)))
        late.start()
        assert small_file.read_stdin(5) == b"words"
    with tempfile.TemporaryFile("w+") as file:
        file.write("words")
        file.seek(0)
        monkeypatch.setattr("sys.stdin", file)
        with pytest.raises(small_file.TooLarge):
            small_file.read_stdin(4)


def test_a_closed_standard_input_says_so(monkeypatch):
    """Without standard input there is an error, and no other file is read."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(OSError, match="closed"):
        small_file.read_stdin(1)


def test_what_has_no_file_says_so(tmp_path):
    """A missing file is FileNotFoundError, which callers tell apart."""
    with pytest.raises(FileNotFoundError):
        small_file.read(tmp_path / "none", 1)
    (tmp_path / "broken").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        small_file.read(tmp_path / "broken", 1)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        small_file.read(tmp_path / "loop", 1)
