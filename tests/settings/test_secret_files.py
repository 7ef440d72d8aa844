"""Files that hold one secret."""

import os
from pathlib import Path

import pytest

from connector.settings.secret_files import MAX_BYTES, NotOneLine, read_secret


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"canary", "canary"),
        (b"canary\n", "canary"),
        (b"canary\r\n", "canary"),
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
    with pytest.raises(NotOneLine, match="is not UTF-8 text"):
        read_secret(path)


@pytest.mark.parametrize("content", [b"canary\n\n", b"canary\ncanary", b"can\0ary", b"can\x1bary", b"\ncanary"])
def test_a_file_of_several_lines_is_no_secret(tmp_path, content):
    """A password has no line break or control character, so none is sent by mistake."""
    (path := tmp_path / "secret").write_bytes(content)
    with pytest.raises(NotOneLine, match="holds several lines or a control character") as raised:
        read_secret(path)
    assert "canary" not in str(raised.value)


@pytest.mark.timeout(60)
def test_a_pipe_is_refused_without_waiting(tmp_path):
    """Nobody may ever write to a pipe."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is not a regular file"):
        read_secret(tmp_path / "pipe")
