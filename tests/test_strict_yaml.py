"""YAML without surprises. The settings made from it are tested with the settings."""

import os
from pathlib import Path

import pytest

from connector import strict_yaml


def test_a_time_stays_text_and_duplicate_keys_are_reported(tmp_path):
    """A time is read as text, and a duplicate key is a problem with its line."""
    (path := tmp_path / "x.yaml").write_text("at: 2026-01-02T03:04:05Z\nat: 2026-01-02\n")
    document, problems = strict_yaml.read(path, "the file", "correct it")
    assert document == {"at": "2026-01-02"}
    assert problems == [f"{path}: line 2, column 1: at appears twice: remove one of the two"]


def test_an_unreadable_file_is_a_problem(tmp_path):
    """If a file is missing, not UTF-8 or not YAML, the problem names it and what to do."""
    (bad := tmp_path / "bad.yaml").write_bytes(b"\xff")
    (broken := tmp_path / "broken.yaml").write_text("a: [")
    assert strict_yaml.read(tmp_path / "no", "the file", "correct it") == (
        None,
        [f"{tmp_path / 'no'}: the file was not found: correct it"],
    )
    assert strict_yaml.read(bad, "the file", "")[1] == [f"{bad}: the file is not UTF-8: save it as UTF-8"]
    assert "correct the YAML there" in strict_yaml.read(broken, "the file", "")[1][0]
    assert "could not be read" in strict_yaml.read(tmp_path, "the file", "")[1][0]
    assert "has more than" in strict_yaml.read(Path("/dev/zero"), "the file", "correct it")[1][0]


@pytest.mark.timeout(20)
def test_a_named_pipe_is_refused_and_the_pipe_of_a_shell_is_read(tmp_path):
    """Nobody may ever write to a named pipe; a shell's pipe has its writer already."""
    os.mkfifo(path := tmp_path / "pipe")
    assert strict_yaml.read(path, "the file", "") == (
        None,
        [f"{path}: the file is not a regular file: correct its path"],
    )
    reader, writer = os.pipe()
    try:
        os.write(writer, b"a: 1")
        os.close(writer)
        assert strict_yaml.read(Path(f"/dev/fd/{reader}"), "the file", "") == ({"a": 1}, [])
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n? [b]\n: 2", "line 2, column 3: found unhashable key"),
        ("[" * 3000, "the YAML is nested too deeply"),
        ("a:\n  b: " + "9" * 5000, "line 2, column 6: this value cannot be read"),
        ("a: 0x_", "line 1, column 4: this value cannot be read"),
        ("a: !!bool secret", "line 1, column 4: this value cannot be read"),
        ("a: !!int ''", "line 1, column 4: this value cannot be read"),
        ("a: !!timestamp secret", "line 1, column 4: this value cannot be read"),
        ('a: "\\ud800"', "line 1, column 4: half a surrogate pair is not a character"),
        ('"\\ud800": 1', "line 1, column 1: half a surrogate pair is not a character"),
    ],
)
def test_bad_yaml_is_a_problem_and_not_a_bug(tmp_path, text, problem):
    """The problem shows where the bad value is, but not the value."""
    (path := tmp_path / "x.yaml").write_text(text)
    document, (found,) = strict_yaml.read(path, "the file", "correct it")
    assert document is None
    assert found.startswith(f"{path}: {problem}")
    assert "secret" not in found


def test_two_escapes_of_json_are_one_character(tmp_path):
    """JSON has no other escape for characters above U+FFFF."""
    (path := tmp_path / "x.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert strict_yaml.read(path, "the file", "correct it") == ({"a": "\U0001f600"}, [])
