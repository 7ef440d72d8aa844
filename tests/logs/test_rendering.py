"""Lines in both forms, safe to show."""

import json

import pytest

from connector.logs.redaction import Redactor
from connector.logs.rendering import encodable, processors, to_json

HOSTILE = "\x1b]52;c;x\x07 \x9b31m \u2028 \u202e \u200b \x7f \ud800 \ufeff\nforged"


def line(form, **fields):
    """Return one line in a form."""
    event = {"_record": None, "_from_structlog": True, **fields}
    for each in processors(form, Redactor()):
        event = each(None, "", event)
    return event


def test_json_escapes_what_cannot_be_seen():
    """In JSON, control, invisible and bidirectional characters are escapes, and nothing is lost."""
    text = line("json", event="x", reason=HOSTILE)
    assert text.isprintable()
    assert "\\u009b" in text
    assert "\\u2028" in text
    assert json.loads(text)["reason"] == HOSTILE
    assert "국고\\u200b" in line("json", event="국고\u200b")


def test_the_console_escapes_what_cannot_be_seen():
    """On a console, no field and no event can move the cursor or begin another line."""
    text = line("console", event=f"e {HOSTILE}", reason=HOSTILE, nested=[HOSTILE], bare=HOSTILE.replace(" ", ""))
    assert text.isprintable()
    assert "U+200B" in text


def test_an_exception_may_have_lines():
    """A traceback keeps its lines, and escapes the rest of its message."""
    try:
        raise ValueError(HOSTILE)  # noqa: TRY301 - its traceback is the input
    except ValueError as error:
        text = line("console", event="failed", exc_info=error)
    assert "\n  File " in text
    assert all(each.isprintable() for each in text.split("\n"))


def test_colours_hide_no_secret(monkeypatch):
    """On a terminal, the codes of colours do not keep a secret from being recognized."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    key = "PS" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0hJ3k"
    text = line("console", event=key, peer=key, nested=[key], uuid="0123abcd-4567-89ef-0123-456789abcdef")
    assert "\x1b[" in text
    assert "aB3d" not in text
    assert "89ef" not in text


def test_any_value_has_a_text():
    """A value that is no JSON is shown as its text, bounded."""
    assert json.loads(to_json({"at": {1, 2}, "path": ValueError("x" * 5000)}, Redactor()))["at"] == "{1, 2}"
    assert len(to_json({"path": ValueError("x " * 5000)}, Redactor())) < 1100


@pytest.mark.parametrize("encoding", ["latin-1", "euc-kr", "ascii"])
def test_what_an_encoding_lacks_is_escaped(encoding):
    """A line for an encoding with few characters is still JSON with the same content."""
    text = to_json({"event": "국고 é 😀"}, Redactor())
    shown = encodable(text, encoding)
    shown.encode(encoding)
    assert json.loads(shown) == json.loads(text)


@pytest.mark.parametrize("form", ["json", "console"])
def test_without_stdout(monkeypatch, form):
    """Lines have no colours if the process was started with stdout closed."""
    monkeypatch.setattr("sys.stdout", None)
    assert "\x1b" not in line(form, event="started")


def test_time_level_and_event_come_first():
    """A line of JSON begins with its time, level and event, and what lacks one has none."""
    event = {"slot": 0, "event": "e", "level": "info", "timestamp": "t"}
    assert list(json.loads(to_json(event, Redactor()))) == ["timestamp", "level", "event", "slot"]
    assert list(json.loads(to_json({"a": 1, "event": "e"}, Redactor()))) == ["event", "a"]
