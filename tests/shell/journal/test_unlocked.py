"""A journal's files are opened as they are, and what is wrong with them is told by name."""

import errno
import os

import pytest

from connector.errors import JournalUnusable, RequestMalformed
from connector.shell.journal.unlocked import opened, unlocked


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (FileNotFoundError(), RequestMalformed, "There is no journal in {}. Give its folder"),
        (NotADirectoryError(), RequestMalformed, "{} is not a folder, and so no journal"),
        (OSError(errno.EIO, "Input/output error"), JournalUnusable, "The journal {} could not be read: Input/output"),
    ],
)
def test_errors_name_the_folder(tmp_path, error, raised, text):
    """They become errors that a command shows without a traceback."""
    with pytest.raises(raised) as caught, unlocked(tmp_path):
        raise error
    assert str(caught.value).startswith(text.format(tmp_path))


def test_a_file_is_opened_and_closed(tmp_path):
    """Its content can be read meanwhile."""
    (tmp_path / "file").write_bytes(b"content")
    with opened(tmp_path / "file") as fd:
        assert os.read(fd, 10) == b"content"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to(path.with_name("file"))])
def test_what_is_no_file_gives_nothing(tmp_path, make):
    """No symlink is followed, and no pipe is waited for."""
    (tmp_path / "file").write_bytes(b"content")
    make(tmp_path / "odd")
    with opened(tmp_path / "odd") as fd:
        assert fd is None


def test_a_file_that_is_not_there_is_told(tmp_path):
    """It may have been deleted after its name was read."""
    with pytest.raises(FileNotFoundError), opened(tmp_path / "missing"):
        pass
