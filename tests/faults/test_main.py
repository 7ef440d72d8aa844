"""Which rows a call plays, and how it ends without them."""

import sys

import pytest

from tests.conftest import ACCESS_REQUIRED
from tests.faults import __main__ as program
from tests.faults.row import Row
from tests.faults.share import share_of


def rows(monkeypatch, *given):
    """Return the rows that these arguments name."""
    monkeypatch.setattr(sys, "argv", ["faults", *given])
    return program.arguments().rows


def test_a_call_without_rows_plays_all_that_need_only_brokers(monkeypatch):
    """The rows of proxies and logins have a target of their own."""
    assert set(program.ROWS) - set(rows(monkeypatch)) == set(rows(monkeypatch, "F"))
    assert {name[0] for name in rows(monkeypatch)} == {"A", "B", "C", "E"}


def test_rows_and_groups_are_played_as_they_are_named(monkeypatch):
    """A row may be named twice, and an unknown one is refused."""
    assert rows(monkeypatch, "B2", "A1", "A1") == ["B2", "A1", "A1"]
    assert rows(monkeypatch, "F")[:2] == ["F1", "F2"]
    with pytest.raises(SystemExit):
        rows(monkeypatch, "A999")


def test_the_shares_of_all_commits_are_all_rows(monkeypatch):
    """Two commits whose numbers differ by one play different halves."""
    everything = rows(monkeypatch)
    halves = [share_of(everything, 2, commit) for commit in ("a0", "a1")]
    assert sorted(halves[0] + halves[1]) == sorted(everything)
    assert abs(len(halves[0]) - len(halves[1])) <= 1
    assert rows(monkeypatch, "--share", "2") in halves


@pytest.mark.parametrize(("required", "name", "code"), [("", "F1", 0), ("1", "F1", 5), ("1", "C19", 0)])
async def test_a_row_that_cannot_be_played_is_said_loudly(monkeypatch, capsys, required, name, code):
    """It is a failure if the variable of its group demands it."""
    row = Row(name, "a fault", "nothing", None, is_timed=False, why_not=lambda: "no proxy")
    monkeypatch.setattr(program, "ROWS", program.ROWS | {name: row})
    monkeypatch.setattr(sys, "argv", ["faults", name])
    monkeypatch.setenv(ACCESS_REQUIRED, required)
    assert await program.main(program.arguments()) == code
    said = capsys.readouterr().out
    assert f"LEFT OUT: {name}: no proxy" in said
    assert (ACCESS_REQUIRED in said) == bool(code)
