"""One-minute windows of a feed, computed from its trades, to compare a reader's with."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from tests.examples.feed import Trade


class Window(NamedTuple):
    """A bond's trades of one minute. Every example prints one as a line, joined by `|`.

    `start` is `2026-01-05 00:00:00`, in UTC; an example may print it with T and Z.
    """

    isin: str
    start: str
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    trades: int
    notional: Decimal


def windows_of(trades: Iterable[Trade]) -> list[Window]:
    """Return the windows, each from its trades in the order of the day's volume."""
    of_minute: dict[tuple[str, datetime], list[Trade]] = defaultdict(list)
    for trade in trades:
        of_minute[trade.isin, trade.second.replace(second=0)].append(trade)
    return [_window(isin, start, of_minute[isin, start]) for isin, start in sorted(of_minute)]


def _window(isin: str, start: datetime, trades: list[Trade]) -> Window:
    ordered = sorted(trades, key=lambda trade: trade.day_volume)
    prices = [trade.price for trade in ordered]
    return Window(
        isin,
        f"{start:%Y-%m-%d %H:%M:%S}",
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(trade.volume for trade in ordered),
        len(ordered),
        sum((trade.price * trade.volume for trade in ordered), Decimal(0)),
    )


def read(lines: Iterable[str]) -> list[Window]:
    """Return the windows that an example printed, sorted."""
    return sorted(_read(line) for line in lines if line.strip())


def _read(line: str) -> Window:
    isin, start, *numbers = line.strip().split("|")
    start = start.replace("T", " ").removesuffix("Z")[:19]
    start += ":00" if len(start) == len("2026-01-05 00:00") else ""
    opened, high, low, close, volume, trades, notional = map(Decimal, numbers)
    return Window(isin, start, opened, high, low, close, int(volume), int(trades), notional)


def wrong(expected: Sequence[Window], lines: Iterable[str]) -> dict[str, int]:
    """Return in how many windows each part is wrong; an exact reader gives an empty dictionary.

    `missing` and `unknown` count windows that only one side has, `repeated` those printed twice.
    """
    found = read(lines)
    ours, theirs = ({(one.isin, one.start): one for one in side} for side in (expected, found))
    counts = {
        "missing": len(ours.keys() - theirs.keys()),
        "unknown": len(theirs.keys() - ours.keys()),
        "repeated": len(found) - len(theirs),
    }
    for place, name in enumerate(Window._fields):
        counts[name] = sum(ours[key][place] != theirs[key][place] for key in ours.keys() & theirs.keys())
    return {name: count for name, count in counts.items() if count}
