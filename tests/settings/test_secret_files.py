"""Files that hold one secret."""

import os
from pathlib import Path

import pytest

from connector.settings.secret_files import MAX_BYTES, read_secret


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"canary", "canary"),
        (b"canary\n", "canary"),
        (b"canary\r\n", "canary"),
        (b"canary\n\n", "canary\n"),
        (b"\xef\xbb\xbfcanary\n", "canary"),
        (b" can ary \n", " can ary "),
        ("암호\n".encode(), "암호"),
    ],
)
def test_what_editors_add_is_no_part_of_a_secret(tmp_path, content, secret):
    """A byte order mark and one line end are removed, blanks are not."""
    (path := tmp_path / "secret").write_bytes(content)
    assert read_secret(path) == secret


def test_a_file_without_end_is_refused(tmp_path):
    """A file too large for a secret is an error, and so is one that is not text."""
    with pytest.raises(OSError, match=f"more than {MAX_BYTES // 1024} KiB"):
        read_secret(Path("/dev/zero"))
    (path := tmp_path / "secret").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="utf-8"):
        read_secret(path)


@pytest.mark.timeout(20)
def test_a_pipe_is_refused_without_waiting(tmp_path):
    """Nobody may ever write to a pipe."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is not a regular file"):
        read_secret(tmp_path / "pipe")
