"""YAML without surprises; what settings make of it is tested with them."""

import pytest

from connector import strict_yaml


def test_a_time_stays_text_and_a_key_stands_once(tmp_path):
    """YAML would make a date of the one and keep the last of the other."""
    (path := tmp_path / "x.yaml").write_text("at: 2026-01-02T03:04:05Z\nat: 2026-01-02\n")
    document, problems = strict_yaml.read(path, "the file", "correct it")
    assert document == {"at": "2026-01-02"}
    assert problems == [f"{path}: line 2, column 1: at stands twice: remove one of the two"]


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    """Missing, not UTF-8, not YAML: each names the file and what to do."""
    (bad := tmp_path / "bad.yaml").write_bytes(b"\xff")
    (broken := tmp_path / "broken.yaml").write_text("a: [")
    assert strict_yaml.read(tmp_path / "no", "the file", "correct it") == (
        None,
        [f"{tmp_path / 'no'}: the file was not found: correct it"],
    )
    assert strict_yaml.read(bad, "the file", "")[1] == [f"{bad}: the file is not UTF-8: save it as UTF-8"]
    assert "correct the YAML there" in strict_yaml.read(broken, "the file", "")[1][0]
    assert "could not be read" in strict_yaml.read(tmp_path, "the file", "")[1][0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n? [b]\n: 2", "line 2, column 3: found unhashable key"),
        ("[" * 3000, "the YAML is nested too deeply"),
        ("a:\n  b: " + "9" * 5000, "line 2, column 6: this value cannot be read"),
        ("a: 0x_", "line 1, column 4: this value cannot be read"),
        ("a: !!bool secret", "line 1, column 4: this value cannot be read"),
        ("a: !!int ''", "line 1, column 4: this value cannot be read"),
        ("a: !!timestamp secret", "line 1, column 4: this value cannot be read"),
        ('a: "\\ud800"', "line 1, column 4: half a surrogate pair is no character"),
        ('"\\ud800": 1', "line 1, column 1: half a surrogate pair is no character"),
    ],
)
def test_whatever_stands_in_a_file_is_a_problem_and_no_bug(tmp_path, text, said):
    """Where it stands is told, the value is not."""
    (path := tmp_path / "x.yaml").write_text(text)
    document, (problem,) = strict_yaml.read(path, "the file", "correct it")
    assert document is None
    assert problem.startswith(f"{path}: {said}")
    assert "secret" not in problem


def test_a_character_that_json_spells_as_two_escapes_is_one(tmp_path):
    """JSON has no other escape for what lies beyond 16 bits."""
    (path := tmp_path / "x.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert strict_yaml.read(path, "the file", "correct it") == ({"a": "\U0001f600"}, [])
