"""Tests of tables on terminals of any width, and in pipes."""

import pytest
from rich.cells import cell_len

from connector.cli import table
from connector.cli.table import Column, chosen, lines, print_table
from connector.errors import RequestMalformed
from tests.cpu_time import is_within

COLUMNS = (Column("ISIN", "whole"), Column("name", "cut"), Column("n", right=True), Column("why"))
ISIN, NAME = "KR103502GA34", "국고03250-5303(23-2)"


@pytest.mark.parametrize(("given", "width"), [(None, 80), ("60", 60), ("200", 200), ("nonsense", 80)])
@pytest.mark.parametrize("colours", [None, "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"])
def test_a_piped_row_is_one_line(capsys, monkeypatch, given, width, colours):
    """A piped row is one line, as wide as COLUMNS or 80, without colours or blanks at its end."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if given:
        monkeypatch.setenv("COLUMNS", given)
    if colours:
        monkeypatch.setenv(colours, "1")
    print_table(("name", "why", "more"), [("a", "x" * 500, ""), ("채권", "b", "c")])
    why = width - len("name  " + "  more")
    assert capsys.readouterr().out.splitlines() == [
        f"name  why{' ' * (why - 3)}  more",
        f"a     {'x' * (why - 1)}…",
        f"채권  b{' ' * (why - 1)}  c",
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_table_fits_its_terminal(width):
    """No line is wider than the terminal, each ISIN is whole, and no text that folds is lost."""
    found = lines(COLUMNS, [(ISIN, NAME, "7", "w" * 120), (ISIN, NAME, "8", "")], width, folds=True)
    assert max(map(cell_len, found)) <= width
    assert sum(line.startswith(ISIN) for line in found) == 2
    assert "".join(found).count("w") == 120 + 1  # the heading has one, too
    assert [line for line in found if line != line.rstrip()] == []


def test_a_text_that_folds_is_broken_between_words():
    """A reason goes on below itself with whole words; a word longer than its column is broken."""
    why = "no room: the live slots hold 41 bonds"
    found = lines(COLUMNS[:1] + COLUMNS[3:], [(ISIN, why), (ISIN, "x" * 30)], 30, folds=True)
    assert [line[14:] for line in found] == ["why", "no room: the", "live slots hold", "41 bonds", "x" * 16, "x" * 14]


def test_names_are_shortened_last():
    """A long reason folds before a name is cut, and a cut name ends with an ellipsis."""
    assert NAME in lines(COLUMNS, [(ISIN, NAME, "7", "w" * 120)], 60, folds=True)[1]
    assert lines(COLUMNS, [(ISIN, NAME, "7", "")], 36, folds=True)[1] == f"{ISIN}  국고03250-530…  7"


def test_columns_are_left_out_in_their_turn():
    """A column with a turn is left out before others get less than their least, and only then."""
    columns = (Column("ISIN", "whole"), Column("name", "cut", least=16), Column("n", turn=2), Column("why", turn=1))
    row = (ISIN, NAME, "7" * 9, "w" * 9)
    assert [lines(columns, [row], width, folds=True)[0].split() for width in (56, 52, 51, 41, 40, 30)] == [
        *[["ISIN", "name", "n", "why"]] * 2,
        *[["ISIN", "name", "n"]] * 2,
        *[["ISIN", "name"]] * 2,
    ]


def test_korean_letters_take_two_cells():
    """Columns after Korean text begin at the same cell."""
    found = lines([Column("name"), Column("n", right=True)], [("채권", "7"), ("ab", "10")], 80, folds=False)
    assert found == ["name   n", "채권   7", "ab    10"]


def test_a_very_long_table_is_quick_on_a_terminal(capsys, monkeypatch):
    """A terminal gets 20,000 folded rows in a few seconds of computing."""
    monkeypatch.setattr(table, "is_terminal", lambda _: True)
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("KR103502GD31", "x" * 100)] * 20_000
    assert is_within(2, lambda: print_table(("bond", "why"), rows))
    capsys.readouterr()
    print_table(("bond", "why"), rows)
    assert len(capsys.readouterr().out.splitlines()) == 40_001


def test_brackets_are_text(capsys):
    """Square brackets in data are not markup."""
    print_table(("why",), [("[Error 3] [red]x[/red]",)])
    assert "[Error 3] [red]x[/red]" in capsys.readouterr().out


def test_columns_are_chosen_by_name():
    """The names are taken in their order, each once; unknown ones are refused with the choice."""
    assert chosen(None, ["a", "b"]) == []
    assert chosen("b, a,b", ["a", "b"]) == ["b", "a"]
    for given, problem in (("c,a", "there is no column c: choose from a, b"), (",", "it names no column")):
        with pytest.raises(RequestMalformed, match=problem):
            chosen(given, ["a", "b"])
