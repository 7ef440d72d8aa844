"""Tables on stdout: as wide as the terminal, and unbroken where a file or a pipe takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Wider than any row: without a terminal nobody sees the width, and a wrapped line breaks whatever reads it.
_PIPED_WIDTH = 2000


def console() -> Console:
    """Return a console on stdout that wraps and colours only on a terminal."""
    width = None if Console().is_terminal else _PIPED_WIDTH
    # What is printed came from others: brackets and colons in it are text.
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headings, long cells folded rather than cut."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)
