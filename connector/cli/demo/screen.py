"""Shows a demo: as a live table on a terminal, as a plain line every few seconds elsewhere."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, Self

from rich.live import Live

from connector.cli.demo import view
from connector.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from connector.cli.demo.pipeline import Pipeline
    from connector.cli.demo.reader import Reader

LINE_SECONDS = 5.0


class Screen(Protocol):
    """Shows a run while its `with` block lasts; `hints` are the lines below the figures."""

    hints: Sequence[str]

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(self, *_: object) -> None:
        """End, and leave the terminal as it was."""
        ...

    async def show(self, pipeline: Pipeline, reader: Reader) -> None:
        """Show the present figures."""
        ...


class LiveTable:
    """Draws the table on the terminal's alternate screen."""

    def __init__(self, console: Console, hints: Sequence[str]) -> None:
        self._console, self.hints = console, hints
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._rows = view.Rows()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    async def show(self, pipeline: Pipeline, reader: Reader) -> None:
        """Draw the table in a thread: a stopped terminal (Ctrl-S) must not block the connector."""
        instruments = pipeline.instruments()
        rows = [
            view.row(isin, instruments[isin]["state"], reader.latest.get(isin), reader.ticks[isin])
            for isin in self._rows.order(list(instruments), reader.latest)
        ]
        shown = view.live(rows, pipeline.ledger(), pipeline.problems(), self.hints, self._console)
        await asyncio.to_thread(self._live.update, shown, refresh=True)


class PlainLines:
    """Prints lines to a file, a pipe or the log of a job."""

    def __init__(self, console: Console, hints: Sequence[str]) -> None:
        self._console, self.hints = console, hints
        self._due = 0.0

    def __enter__(self) -> Self:
        for hint in self.hints:
            self._print(hint)
        self._due = time.monotonic() + LINE_SECONDS
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the lines where they are."""

    async def show(self, pipeline: Pipeline, reader: Reader) -> None:  # noqa: ARG002 - only the table needs it
        """Print a line if the last one is old enough."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LINE_SECONDS
        states = [record["state"] for record in pipeline.instruments().values()]
        self._print(view.line(pipeline.ledger(), len(states), states.count("ACTIVE")))
        for problem in pipeline.problems():
            self._print(f"  {problem}")

    def _print(self, text: str) -> None:
        self._console.print(printable(text), soft_wrap=True, markup=False)


def screen_for(console: Console, hints: Sequence[str], *, live: bool) -> Screen:
    """Return the screen for this console: a table only if it is wanted and possible."""
    return LiveTable(console, hints) if live and console.is_terminal else PlainLines(console, hints)
