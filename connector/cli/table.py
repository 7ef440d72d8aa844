"""Prints tables that fit the terminal, or what shows a pipe."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from rich.cells import cell_len, chop_cells, set_cell_size

from connector.cli.output import cell, is_terminal, terminal_width
from connector.cli.prose import wrapped
from connector.core.printable import printable
from connector.errors import RequestMalformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GAP: Final = "  "
_LEAST: Final = 10  # cells that any column keeps


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    If there is no room for a whole table, columns that `fold` continue on further lines. In a pipe,
    where a row has to be one line, they are shortened. Columns that `cut` are shortened after that.
    `whole` columns stay as they are. A column with a `turn` is left out before any column gets less
    than its `least` cells, turn 1 first.
    """

    heading: str
    fit: Literal["whole", "cut", "fold"] = "fold"
    right: bool = False
    turn: int | None = None
    least: int = _LEAST


def print_table(columns: Sequence[Column | str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headings. A text is a column that folds."""
    shaped = [Column(each) if isinstance(each, str) else each for each in columns]
    cells = [[cell(text) for text in row] for row in rows]
    stream = sys.stdout
    found = lines(shaped, cells, terminal_width(stream), folds=is_terminal(stream))
    print(*found, sep="\n", file=stream, flush=True)


def lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, *, folds: bool) -> list[str]:
    """Return the lines of a table of this width in cells, without blanks at their ends.

    A Korean letter takes two cells. Unless the table `folds`, each row is one line.
    """
    everything: list[Sequence[str]] = [[column.heading for column in columns], *rows]
    natural = [max(map(cell_len, texts)) for texts in zip(*everything, strict=True)]
    places = kept(columns, natural, width)
    columns, natural = [columns[each] for each in places], [natural[each] for each in places]
    everything = [[row[each] for each in places] for row in everything]
    widths = fitted(columns, natural, width)
    found = []
    for row in everything:
        if folds and any(map(_is_longer, row, widths)):
            found += _folded(columns, row, widths)
        else:
            found.append(line(columns, list(map(cut, row, widths)), widths))
    return found


def line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    """Return one row as a line, each cell padded to its width."""
    padded = (
        " " * (width - cell_len(text)) + text if column.right else text + " " * (width - cell_len(text))
        for column, text, width in zip(columns, row, widths, strict=True)
    )
    return _GAP.join(padded).rstrip()


def cut(text: str, width: int) -> str:
    """Return a text of at most `width` cells; what was shortened ends with `…`."""
    if cell_len(text) <= width:
        return text
    end = cell("…")  # longer if stdout cannot show it
    return set_cell_size(text, width - cell_len(end)).rstrip() + end


def chosen(given: str | None, known: Sequence[str]) -> list[str]:
    """Return the columns that --columns names, in its order. Raises RequestMalformed."""
    if given is None:
        return []
    names = [name.strip() for name in given.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        problem = f"there is no column {printable(', '.join(wrong))}" if wrong else "it names no column"
        raise RequestMalformed(f"--columns: {problem}: choose from {', '.join(known)}.")
    return list(dict.fromkeys(names))


def kept(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return the places of the columns that a terminal of `width` cells has room for."""
    least = [
        size if column.fit == "whole" else min(size, max(column.least, cell_len(column.heading)))
        for column, size in zip(columns, natural, strict=True)
    ]
    places = list(range(len(columns)))
    for _, place in sorted((column.turn, place) for place, column in enumerate(columns) if column.turn is not None):
        if sum(least[each] for each in places) + len(_GAP) * (len(places) - 1) <= width:
            break
        places.remove(place)
    return places


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return the widths of the columns: folding ones give room first, then those that are cut."""
    widths = list(natural)
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    for fit in ("fold", "cut"):
        places = [place for place, column in enumerate(columns) if column.fit == fit]
        # The last column gives first: it holds the longest texts.
        for place in reversed(places):
            given = min(max(0, excess), max(0, widths[place] - max(_LEAST, len(columns[place].heading))))
            widths[place] -= given
            excess -= given
    return widths


def _folded(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> list[str]:
    parts = [
        _broken(text, width) if column.fit == "fold" else [cut(text, width)]
        for column, text, width in zip(columns, row, widths, strict=True)
    ]
    return [
        line(columns, [part[number] if number < len(part) else "" for part in parts], widths)
        for number in range(max(map(len, parts)))
    ]


def _broken(text: str, width: int) -> list[str]:
    """Return a text in parts of at most this width: words are broken only if they are longer."""
    return [part for each in wrapped(text, width) for part in chop_cells(each, width)] or [""]


def _is_longer(text: str, width: int) -> bool:
    return cell_len(text) > width
