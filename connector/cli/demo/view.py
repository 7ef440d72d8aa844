"""What a demo shows: the live table with its figures, one plain line, and the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from connector.cli.table import Column, fitted, kept
from connector.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from rich.console import Console

    from connector.cli.demo.ledger import Ledger

# KIS's PRDY_VRSS_SIGN: 1 upper limit, 2 up, 3 unchanged, 4 lower limit, 5 down.
# Korean screens show up in red and down in blue.
UP, DOWN = ("1", "2"), ("4", "5")
UP_STYLE, DOWN_STYLE = "bright_red", "bright_blue"
STATE_STYLES = {
    "ACTIVE": "green",
    "PENDING": "yellow",
    "WAITING_CAPACITY": "yellow",
    "DISCONNECTED": "red",
    "REJECTED": "red",
}
COLUMNS = (
    Column("instrument", "whole"),
    Column("name", "cut", turn=5, least=16),
    Column("last price", "whole", right=True),
    Column("change", "whole", right=True, turn=2),
    Column("yield %", "whole", right=True, turn=4),
    Column("volume", "whole", right=True, turn=1),
    Column("ticks", "whole", right=True, turn=3),
    Column("state", "whole"),
)
LINES_BESIDE_ROWS = 2  # the headings, and the line that counts the rows left out


class Rows:
    """The order of the table's rows: new bonds stand at the top, where they are seen."""

    def __init__(self) -> None:
        self._order: list[str] = []

    def order(self, isins: Sequence[str]) -> list[str]:
        """Return the wanted bonds in the table's order."""
        new = sorted(set(isins) - set(self._order))
        self._order = new + [isin for isin in self._order if isin in set(isins)]
        return self._order


def row(isin: str, state: str, tick: Mapping[str, Any] | None, ticks: int) -> list[Text]:
    """Return the cells of one bond; `tick` is its latest tick's fields, None before the first."""
    status = Text(state, STATE_STYLES.get(state, ""))
    if tick is None:
        return [Text(isin), Text("-"), Text("-"), Text("-"), Text("-"), Text("-"), Text("0"), status]
    sign = tick["PRDY_VRSS_SIGN"]
    style = UP_STYLE if sign in UP else DOWN_STYLE if sign in DOWN else ""
    arrow = "▲ " if sign in UP else "▼ " if sign in DOWN else ""
    change = tick["PRDY_VRSS"]
    return [
        Text(isin),
        Text(printable(tick["BOND_ISNM"] or "-")),
        Text(_number(tick["STCK_PRPR"], 2), style),
        Text("-" if change is None else arrow + _number(abs(change), 2), style),
        Text(_number(tick["BOND_CNTG_ERT"], 3)),
        Text(f"{tick['ACML_VOL']:,}"),
        Text(f"{ticks:,}"),
        status,
    ]


def table(rows: Sequence[Sequence[Text]], width: int, most: int) -> list[Text]:
    """Return the lines of a table of at most `most` rows, the last of which counts those left out.

    `width` is the terminal's, in cells: a narrow one shows less of the names, and fewer columns.
    """
    everything = [[Text(column.heading, "dim") for column in COLUMNS], *rows]
    natural = [max(text.cell_len for text in texts) for texts in zip(*everything, strict=True)]
    places = kept(COLUMNS, natural, width)
    columns = [COLUMNS[each] for each in places]
    widths = fitted(columns, [natural[each] for each in places], width)
    lines = [
        Text("  ").join(
            _padded(cells[at], column, size) for at, column, size in zip(places, columns, widths, strict=True)
        )
        for cells in everything[: 1 + most]
    ]
    return [*lines, Text(f"and {len(rows) - most} more", "dim")] if len(rows) > most else lines


def _padded(text: Text, column: Column, size: int) -> Text:
    padded = text.copy()
    padded.truncate(size, overflow="ellipsis")
    padded.align("right" if column.right else "left", size)
    return padded


def live(
    rows: Sequence[Sequence[Text]], ledger: Ledger, problems: Sequence[str], hints: Sequence[str], console: Console
) -> Group:
    """Return everything that the terminal of `console` shows, as many lines as it has."""
    trouble = [Text(printable(problem), "yellow", no_wrap=True, overflow="ellipsis") for problem in problems]
    texts = [Text(), _figures(ledger), *trouble, Text(), *map(_hint, hints)]
    below = [line for text in texts for line in text.wrap(console, console.width)]
    most = max(1, console.height - LINES_BESIDE_ROWS - len(below))
    return Group(*table(rows, console.width, most), *below)


def _hint(line: str) -> Text:
    return Text(line, "bold" if line.startswith("  ") else "dim", overflow="fold")


def _figures(ledger: Ledger) -> Text:
    parts = (
        ("received", ledger.received, ""),
        ("delivered", ledger.delivered, ""),
        ("dead-lettered", ledger.dead_lettered, "red" if ledger.dead_lettered else ""),
        ("pending", ledger.pending, ""),
        ("read back", ledger.read_back, ""),
    )
    return Text("   ").join(
        Text.assemble((f"{name} ", "dim"), (f"{value:,}", style or "bold")) for name, value, style in parts
    )


def line(ledger: Ledger, bonds: int, active: int) -> str:
    """Return the figures as one plain line, for output that is not a terminal."""
    return f"{active} of {bonds} bonds active; {_figures(ledger).plain}"


def summary(ledger: Ledger) -> Table:
    """Return the run's figures, each with the observer that counted it."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    shown.add_column(style="dim")
    for name, value, source in (
        ("sent", ledger.sent, _sent_source(ledger)),
        ("received", ledger.received, "frames, in the connector's journal"),
        ("delivered", ledger.delivered, "acknowledged by Kafka"),
        ("dead-lettered", ledger.dead_lettered, "acknowledged by Kafka"),
        ("pending", ledger.pending, "frames, left in the journal"),
        ("read back", ledger.read_back, "by an independent consumer, each tick_id once"),
        ("duplicates", ledger.duplicates, "copies of a tick_id already read"),
        ("lost", ledger.lost, "sent, but found nowhere"),
        ("backfilled", ledger.backfilled, "fetched from KIS's list of trades by the auditor"),
    ):
        shown.add_row(name, f"{value:,}", source)
    shown.add_row("covered", _share(ledger), f"of the {ledger.accumulated_volume:,} that KIS counted, by the auditor")
    return shown


def _sent_source(ledger: Ledger) -> str:
    """Return who counted the ticks sent, and what the simulator's faults made of them."""
    faults = ((ledger.repeated, "repeats among them"), (ledger.malformed, "spoiled beside them"))
    found = "".join(f", {count:,} {what}" for count, what in faults if count)
    return f"ticks in {ledger.frames:,} frames, by the simulator{found}"


def _share(ledger: Ledger) -> str:
    """Return which part of the volume is covered; 100 % only if nothing is missing."""
    if not ledger.accumulated_volume:
        return "-"
    if ledger.covered_volume == ledger.accumulated_volume:
        return "100 %"
    return f"{min(99.99, 100 * ledger.covered_volume / ledger.accumulated_volume):.2f} %"


def _number(value: Decimal | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
