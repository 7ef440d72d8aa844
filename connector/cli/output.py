"""What commands print: lines, JSON, and tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Wider than any row: without a terminal nobody sees the width, and a wrapped line would break
# the program that reads it.
_PIPED_WIDTH = 2000


def say(text: str, *, err: bool = False) -> None:
    """Print one or more lines."""
    typer.echo(text, err=err)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    say(to_json(value))


def to_json(value: Any) -> str:
    """Return a value as one line of JSON; half a surrogate pair is shown as its escape."""
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headings; long cells are folded, not cut."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def console() -> Console:
    """Return a console on stdout that wraps and colours only on a terminal."""
    width = None if Console().is_terminal else _PIPED_WIDTH
    # The cells hold text of others: its brackets and colons are not markup or emoji names.
    return Console(width=width, highlight=False, markup=False, emoji=False)
