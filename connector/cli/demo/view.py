"""What a demo shows: the live table with its figures, one plain line, and the summary."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from connector.cli.table import Column, fitted, kept
from connector.core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
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
LEAST_ROWS = 2  # one bond, and the line that counts the others


class Rows:
    """The order of the table's rows, of which the first are seen."""

    def __init__(self) -> None:
        self._order: list[str] = []

    def order(self, isins: Sequence[str], traded: Container[str]) -> list[str]:
        """Return the wanted bonds: those that traded before others, and of these new ones first."""
        new = sorted(set(isins) - set(self._order))
        self._order = new + [isin for isin in self._order if isin in set(isins)]
        return sorted(self._order, key=lambda isin: isin not in traded)


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
    """Return the headings, and at most `most` lines below them: if need be, the last one counts.

    `width` is the terminal's, in cells: a narrow one shows less of the names, and fewer columns.
    """
    seen = len(rows) if len(rows) <= most else most - 1
    everything = [[Text(column.heading, "dim") for column in COLUMNS], *rows]
    natural = [max(text.cell_len for text in texts) for texts in zip(*everything, strict=True)]
    places = kept(COLUMNS, natural, width)
    columns = [COLUMNS[each] for each in places]
    widths = fitted(columns, [natural[each] for each in places], width)
    lines = [
        Text("  ").join(
            _padded(cells[at], column, size) for at, column, size in zip(places, columns, widths, strict=True)
        )
        for cells in everything[: 1 + seen]
    ]
    return [*lines, *([_left_out(rows[seen:])] if rows[seen:] else [])]


def _left_out(rows: Sequence[Sequence[Text]]) -> Text:
    states = Counter(cells[-1].plain for cells in rows)
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    return Text(f"and {len(rows)} more: {counted}", "dim", no_wrap=True, overflow="ellipsis")


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
    texts = [Text(), *_figures(ledger), *trouble, Text(), *map(_hint, hints)]
    below = [line for text in texts for line in text.wrap(console, console.width)]
    most = max(LEAST_ROWS, console.height - 1 - len(below))
    return Group(*table(rows, console.width, most), *below)


def _hint(line: str) -> Text:
    return Text(line, "bold" if line.startswith("  ") else "dim", overflow="fold")


def _figures(ledger: Ledger) -> list[Text]:
    """Return the names of the figures, and below them the figures, however large."""
    parts = (
        ("received", ledger.received, "bold"),
        ("delivered", ledger.delivered, "bold"),
        ("dead-lettered", ledger.dead_lettered, "red" if ledger.dead_lettered else "bold"),
        ("pending", ledger.pending, "bold"),
        ("read back", ledger.read_back, "bold"),
    )
    sizes = [max(len(name), len(f"{value:,}")) for name, value, _ in parts]
    return [
        Text("  ").join(Text(name.rjust(size), "dim") for (name, *_), size in zip(parts, sizes, strict=True)),
        Text("  ").join(
            Text(f"{value:,}".rjust(size), style) for (_, value, style), size in zip(parts, sizes, strict=True)
        ),
    ]


def line(ledger: Ledger, bonds: int, active: int) -> str:
    """Return the figures as a sentence, for output that is not a terminal."""
    parts = [f"{ledger.received:,} received", f"{ledger.delivered:,} delivered", f"{ledger.read_back:,} read back"]
    parts += [f"{ledger.pending:,} pending"] if ledger.pending else []
    parts += [f"{ledger.dead_lettered:,} dead-lettered"] if ledger.dead_lettered else []
    return f"{active} of {bonds} bonds active: {', '.join(parts)}"


def summary(ledger: Ledger) -> list[Text]:
    """Return a line for each of the run's figures, with the observer that counted it."""
    counts = [
        ("sent", ledger.sent, f"ticks in {ledger.frames:,} frames, by the simulator"),
        *([("repeated", ledger.repeated, "of those, by a fault of the simulator")] if ledger.repeated else []),
        *([("spoiled", ledger.malformed, "frames or records beside those, by a fault")] if ledger.malformed else []),
        ("received", ledger.received, "frames, in the connector's journal"),
        ("delivered", ledger.delivered, "acknowledged by Kafka"),
        ("dead-lettered", ledger.dead_lettered, "acknowledged by Kafka"),
        ("pending", ledger.pending, "frames, left in the journal"),
        ("read back", ledger.read_back, "by an independent consumer, each tick_id once"),
        ("duplicates", ledger.duplicates, "copies of a tick_id already read"),
        ("lost", ledger.lost, "sent, but found nowhere"),
        ("backfilled", ledger.backfilled, "fetched from KIS's list of trades by the auditor"),
    ]
    rows = [(name, f"{value:,}", source) for name, value, source in counts]
    rows.append(("covered", _share(ledger), f"of {ledger.accumulated_volume:,} that KIS counted, by the auditor"))
    names, values = (max(len(row[at]) for row in rows) for at in (0, 1))
    return [Text.assemble(f"{name:<{names}}  {value:>{values}}  ", (source, "dim")) for name, value, source in rows]


def _share(ledger: Ledger) -> str:
    """Return which part of the volume is covered; 100 % only if nothing is missing."""
    if not ledger.accumulated_volume:
        return "-"
    if ledger.covered_volume == ledger.accumulated_volume:
        return "100 %"
    return f"{min(99.99, 100 * ledger.covered_volume / ledger.accumulated_volume):.2f} %"


def _number(value: Decimal | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
