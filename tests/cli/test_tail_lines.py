"""Tests of the lines that `tail` prints."""

import json
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

from connector.cli.tail_lines import EventLines, LetterLines, RawLines, TickLines
from tests.cli.test_tail import SCHEMA, A, framed, tick

KEY = A.encode()


def record(value, key=KEY, **more):
    """Return a Kafka record as aiokafka gives it."""
    place = {"topic": "t", "partition": 3, "offset": 4, "timestamp": 1_767_323_045_678, "headers": ()}
    return SimpleNamespace(**{**place, "key": key, "value": value, **more})


@pytest.mark.parametrize("width", [75, 80, 100, 120, 136])
def test_a_tick_fits_the_terminal(width, monkeypatch):
    """Heading and tick fit the terminal, the ISIN is whole, and the prices are right-aligned."""
    named = tick(A) | {"BOND_ISNM": "국고채권장기물이표채삼십년물이천오십삼년삼월"}
    monkeypatch.setattr("connector.cli.tail_lines.decode", lambda *_: named)
    lines = TickLines(SCHEMA, (), width)
    shown = [lines.heading, lines.text(record(b""))]
    assert max(map(cell_len, shown)) <= width
    assert shown[1].startswith(f"01-02 12:04:05  {A}  국고")
    ends = [cell_len(text[: text.index(end) + len(end)]) for text, end in zip(shown, ("price", ".5000"), strict=True)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (105, "traded (KST) ISIN name price volume yield day's volume"),
        (80, "traded (KST) ISIN name price volume yield"),
        (69, "traded (KST) ISIN name price volume"),
        (60, "traded (KST) ISIN name price"),
        (40, "traded (KST) ISIN price"),
    ],
)
def test_a_narrow_terminal_leaves_columns_out(width, headings):
    """The day's volume goes first, then yield, volume and name; what is left is whole."""
    lines = TickLines(SCHEMA, (), width)
    shown = [lines.heading, lines.text(record(framed(A)))]
    assert " ".join(shown[0].split()) == headings
    assert max(map(cell_len, shown)) <= width
    assert A in shown[1]
    assert "10126.5000" in shown[1]


def test_chosen_fields():
    """The fields that were chosen are the columns, in their order."""
    lines = TickLines(SCHEMA, ["STCK_PRPR", "source"], 80)
    assert lines.heading.split() == ["price", "source"]
    assert lines.text(record(framed(A))).split() == ["10126.5000", "ws"]


def test_a_bad_record_names_its_place():
    """A bad record's line and JSON name its place, its key and what is wrong."""
    lines = TickLines(SCHEMA, (), 80)
    assert lines.text(record(b"nonsense", b"k")).startswith("bad record at 3:4, key k: ")
    bad = json.loads(lines.json(record(b"nonsense", b"k")))
    assert (bad.pop("bad") != "", bad) == (True, {"key": "k", "partition": 3, "offset": 4})


def test_a_dead_letter():
    """A dead letter's line has its time, place, reason, key and detail."""
    headers = [("reason", b"FIELD_TIME"), ("detail", b"no time")]
    line = LetterLines().text(record(b"x", headers=headers))
    assert line == f"01-02 12:04:05   3:4  FIELD_TIME  {A}  no time"
    assert json.loads(LetterLines().json(record(b"x", headers=headers)))["headers"] == {
        "reason": "FIELD_TIME",
        "detail": "no time",
    }


@pytest.mark.parametrize("value", [b"nonsense", b"[1]", b"", None, b"[" * 100_000])
def test_an_event_that_is_none(value):
    """A record that is no event is shown with its place, and whole in JSON."""
    assert EventLines().text(record(value)) == "01-02 12:04:05  bad record at 3:4"
    assert json.loads(EventLines().json(record(value)))["offset"] == 4


def test_raw_bytes_are_hex():
    """Bytes that are no UTF-8 are shown in hex, and a missing key or value is null."""
    shown = json.loads(RawLines().text(record(b"\xc3\x01", None)))
    assert (shown["value_hex"], shown["key"]) == ("c301", None)
    assert json.loads(RawLines().json(record(None)))["value"] is None
