"""A secret is remembered while its file cannot be read."""

import pytest

from connector.settings.secret_files import NotOneLine
from connector.shell.last_good import read_or_last_good


def test_a_file_that_was_spoilt_or_vanished(tmp_path):
    """What it held before counts until it can be read again."""
    path = tmp_path / "secret"
    path.write_text("first\n")
    assert read_or_last_good(path) == "first"
    for damage in ("", " \n", "two\nlines"):
        path.write_text(damage)
        assert read_or_last_good(path) == "first"
    path.unlink()
    assert read_or_last_good(path) == "first"
    path.write_text("second")
    assert read_or_last_good(path) == "second"


def test_a_file_that_never_held_a_secret(tmp_path):
    """There is nothing to remember."""
    path = tmp_path / "secret"
    with pytest.raises(FileNotFoundError):
        read_or_last_good(path)
    path.write_text("two\nlines")
    with pytest.raises(NotOneLine):
        read_or_last_good(path)
    path.write_text("")
    assert read_or_last_good(path) == ""
