"""Puts results into the lines of a table, 80 columns wide."""

from collections.abc import Iterator
from typing import Any

from benchmarks.cases import SOAK

COLUMNS = (  # heading, width, and how a figure is shown
    ("ticks/s", 10, "{:,.0f}"),
    ("ratio", 9, "{:.2f} x"),
    ("CPU µs", 9, "{:,.1f}"),
    ("ratio", 9, "{:.2f} x"),
    ("p50 ms", 9, "{:,.1f}"),
    ("p99 ms", 9, "{:,.1f}"),
    ("MB", 6, "{:,.0f}"),
)
LABEL_WIDTH = 18
LEGEND = """\
CPU: of one tick. p50, p99: from receipt to acknowledgement. MB: peak RSS.
ratio: the first line ÷ this one, pair by pair; of CPU, this one ÷ the first.
Above 1 the first line is better."""


HEADING = " " * LABEL_WIDTH + "".join(f"{heading:>{width}}" for heading, width, _ in COLUMNS)


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield the table's lines of one case."""
    yield result["title"]
    for entry in result["entries"]:
        yield row(entry["label"], entry)
    if result["name"] == SOAK.name:
        yield from map(_memory, result["entries"])


def row(label: str, entry: dict[str, Any]) -> str:
    """Return the line of one pipeline; what was not measured is left blank."""
    return f"  {label:<{LABEL_WIDTH - 2}}{_cells(entry)}".rstrip()


def _memory(entry: dict[str, Any]) -> str:
    early, late = entry["medians"]["early_mb"], entry["medians"]["late_mb"]
    return f"  RSS {early:,.0f} MB after a tenth of the ticks, {late:,.0f} MB at the end: {late / early:.2f} x"


def _cells(entry: dict[str, Any]) -> str:
    medians = entry["medians"]
    values = (
        medians["ticks_per_second"],
        entry.get("ratio"),
        medians["cpu_us_per_tick"],
        entry.get("cpu_ratio"),
        medians["p50_ms"],
        medians["p99_ms"],
        medians["peak_mb"],
    )
    return "".join(
        f"{'' if value is None else shown.format(value):>{width}}"
        for value, (_, width, shown) in zip(values, COLUMNS, strict=True)
    )
