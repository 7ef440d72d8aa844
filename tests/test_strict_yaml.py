"""YAML without surprises. The settings made from it are tested with the settings."""

import os
import re
from pathlib import Path

import pytest

from connector import strict_yaml

MOST = 2**20


def test_a_time_stays_text_and_duplicate_keys_are_reported(tmp_path):
    """A time is read as text, and a duplicate key is a problem with its line."""
    (path := tmp_path / "x.yaml").write_text("at: 2026-01-02T03:04:05Z\nat: 2026-01-02\n")
    document, problems = strict_yaml.read(path, "the file", "correct it", MOST)
    assert document == {"at": "2026-01-02"}
    assert problems == [f"{path}: line 2, column 1: this key appears twice: remove one of the two"]


def test_an_unreadable_file_is_a_problem(tmp_path):
    """If a file is missing, not UTF-8 or not YAML, the problem names it and what to do."""
    (bad := tmp_path / "bad.yaml").write_bytes(b"\xff")
    (broken := tmp_path / "broken.yaml").write_text("a: [")
    assert strict_yaml.read(tmp_path / "no", "the file", "correct it", MOST) == (
        None,
        [f"{tmp_path / 'no'}: the file was not found: correct it"],
    )
    assert strict_yaml.read(bad, "the file", "", MOST)[1] == [f"{bad}: the file is not UTF-8: save it as UTF-8"]
    assert "correct the YAML there" in strict_yaml.read(broken, "the file", "", MOST)[1][0]
    assert "could not be read" in strict_yaml.read(tmp_path, "the file", "", MOST)[1][0]
    assert strict_yaml.read(Path("/dev/zero"), "the file", "correct it", MOST)[1] == [
        "/dev/zero: the file is too large, it has more than 1 MiB: correct it"
    ]


@pytest.mark.timeout(60)
def test_a_named_pipe_is_refused_and_the_pipe_of_a_shell_is_read(tmp_path):
    """Nobody may ever write to a named pipe; a shell's pipe has its writer already."""
    os.mkfifo(path := tmp_path / "pipe")
    assert strict_yaml.read(path, "the file", "", MOST) == (
        None,
        [f"{path}: the file is not a regular file: correct its path"],
    )
    reader, writer = os.pipe()
    try:
        os.write(writer, b"a: 1")
        os.close(writer)
        assert strict_yaml.read(Path(f"/dev/fd/{reader}"), "the file", "", MOST) == ({"a": 1}, [])
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n? [b]\n: 2", "line 2, column 3: found unhashable key"),
        ("[" * 3000, "line 1, column 1001: exceeded maximum nesting depth"),
        ('"\\ud83d\\ude00": ' + "[" * 3000, "the YAML is nested too deeply"),
        ("a:\n  b: " + "9" * 5000, "line 2, column 6: this value cannot be read"),
        ("a: 0x_", "line 1, column 4: this value cannot be read"),
        ("a: !!bool secret", "line 1, column 4: this value cannot be read"),
        ("a: !!int ''", "line 1, column 4: this value cannot be read"),
        ("a: !!map secret", "line 1, column 4: expected a mapping node, but found scalar"),
        ("!!set [secret]", "line 1, column 1: expected a mapping node, but found sequence"),
        ("a: !!omap secret", "line 1, column 4: expected a sequence, but found scalar"),
        ("a: !!timestamp secret", "line 1, column 4: this value cannot be read"),
        ('a: "\\ud800"', "line 1, column 4: half a surrogate pair is not a character"),
        ('"\\ud800": 1', "line 1, column 1: half a surrogate pair is not a character"),
    ],
)
def test_bad_yaml_is_a_problem_and_not_a_bug(tmp_path, text, problem):
    """The problem shows where the bad value is, but not the value."""
    (path := tmp_path / "x.yaml").write_text(text)
    document, (found,) = strict_yaml.read(path, "the file", "correct it", MOST)
    assert document is None
    assert found.startswith(f"{path}: {problem}")
    assert "secret" not in found


@pytest.mark.parametrize("loader", [strict_yaml._Loader, strict_yaml._FastLoader])
@pytest.mark.parametrize(
    "text",
    [
        "a: !secret",
        "a: !secret x",
        "a: !!secret x",
        "a: !<secret> x",
        "a: !secret!x y",
        "a: !!python/object:secret x",
        "%TAG !secret! x\n%TAG !secret! y\n--- a",
        "%YAML secret\n--- a",
        "%secret\n--- a: [",
        "a: *secret",
        "a: [&secret 1, &secret 2, *secret]",
        "a: {secret: 1, secret: 2}",
        "a: @secret",
        "a: |secret",
        "a: secret: x",
        "a: {secret]",
        "a: 'secret",
        'a: "secret\\q"',
        "a: !!int secret",
        "a: !!binary secreté",
        "<<: secret",
    ],
)
def test_no_problem_quotes_the_file(tmp_path, monkeypatch, loader, text):
    """A secret that YAML reads as a tag, an alias, a key or a mistake is not repeated."""
    monkeypatch.setattr(strict_yaml, "_FastLoader", loader)
    (path := tmp_path / "x.yaml").write_text(text)
    problems = strict_yaml.read(path, "the file", "correct it", MOST)[1]
    assert problems
    assert all(re.match(r"line \d+, column \d+: ", each.removeprefix(f"{path}: ")) for each in problems)
    assert "secret" not in str(problems).replace(str(tmp_path), "")


def test_two_escapes_of_json_are_one_character(tmp_path):
    """JSON has no other escape for characters above U+FFFF."""
    (path := tmp_path / "x.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert strict_yaml.read(path, "the file", "correct it", MOST) == ({"a": "\U0001f600"}, [])


ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [ALIASES, MERGES], ids=["aliases", "merges"])
def test_a_document_that_unfolds_without_bound_is_refused_before_it_does(tmp_path, text):
    """Aliases to aliases and merges of merges are counted, not unfolded."""
    (path := tmp_path / "x.yaml").write_text(text)
    document, (found,) = strict_yaml.read(path, "the file", "correct it", MOST)
    assert document is None
    assert "more than 300,000 values" in found


def test_values_are_counted_without_aliases_too(tmp_path, monkeypatch):
    """The last number of values that is read, and the first that is not."""
    monkeypatch.setattr(strict_yaml, "MAX_VALUES", 100)
    (path := tmp_path / "x.yaml").write_text(f"[{'x,' * 99}]")
    assert strict_yaml.read(path, "the file", "correct it", MOST) == (["x"] * 99, [])
    path.write_text(f"[{'x,' * 100}]")
    assert "more than 100 values" in strict_yaml.read(path, "the file", "correct it", MOST)[1][0]


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a [b, *a, *a]", "a: &a {b: &b {c: *a}}", "&a {*a : 1}"])
def test_an_alias_inside_its_own_value_is_refused(tmp_path, text):
    """JSON has no value that contains itself."""
    (path := tmp_path / "x.yaml").write_text(text)
    document, (found,) = strict_yaml.read(path, "the file", "correct it", MOST)
    assert document is None
    assert "line 1: an alias stands for a value that contains it" in found


def test_ordinary_aliases_and_merges_are_read(tmp_path):
    """Anchors that save a few lines stay allowed."""
    (path := tmp_path / "x.yaml").write_text("x: &x [1, 2]\ny: *x\nz: {<<: {a: 1}, b: *x}\n")
    assert strict_yaml.read(path, "the file", "correct it", MOST)[0] == {
        "x": [1, 2],
        "y": [1, 2],
        "z": {"a": 1, "b": [1, 2]},
    }


@pytest.mark.parametrize("loader", [strict_yaml._Loader, strict_yaml._FastLoader])
def test_both_parsers_read_the_same(tmp_path, monkeypatch, loader):
    """Where PyYAML was built without its parser in C, the other one reads the file."""
    monkeypatch.setattr(strict_yaml, "_FastLoader", loader)
    (path := tmp_path / "x.yaml").write_text("a: {b: [1, 0x10, yes, ~, 2026-01-02], c: 'é'}\na: 1.5\nb: *c")
    assert "found undefined alias" in strict_yaml.read(path, "the file", "correct it", MOST)[1][0]
    path.write_text("a: {b: [1, 0x10, yes, ~, 2026-01-02], c: 'é'}\nd: 1.5\nd: 2\n")
    assert strict_yaml.read(path, "the file", "correct it", MOST) == (
        {"a": {"b": [1, 16, True, None, "2026-01-02"], "c": "é"}, "d": 2},
        [f"{path}: line 3, column 1: this key appears twice: remove one of the two"],
    )
