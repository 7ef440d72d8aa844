"""What `/status` shows of the coverage of a day: its sums, and each bond's record.

A record is shown with the widest of its holes.
"""

from __future__ import annotations

from collections import Counter
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

from connector.core.coverage.overview import missing_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

# A record may have a thousand holes, each in a thousand pieces.
HOLES: Final = 20
PIECES: Final = 20  # of one hole
BONDS: Final = 1_000  # of a day; together some half a megabyte
CAUSES: Final = 20  # there are some fifteen
SUMS: Final = ("covered_volume", "accumulated_volume", "missing_volume", "unwanted_volume")


def shown_day(trade_date: date, values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parts `coverage` and `days` of a status, from the records of a date by bond.

    `coverage` has the sums over all bonds; its `open_holes` counts holes that are not filled, by
    cause. `days` has the records of at most BONDS bonds: those with most missing volume.
    """
    open_holes = Counter(
        hole["cause"]
        for value in values.values()
        for hole in value["holes"]
        if hole["state"] != "FILLED" and hole["cause"] is not None
    )
    most = nlargest(BONDS, values, key=lambda isin: values[isin]["missing_volume"])
    return {
        "coverage": {
            "trade_date": trade_date.isoformat(),
            "bonds": len(values),
            "states": dict(Counter(value["state"] for value in values.values())),
            **{name: sum(value[name] for value in values.values()) for name in SUMS},
            "open_holes": dict(open_holes.most_common(CAUSES)),
        },
        "days": {isin: shown(values[isin]) for isin in sorted(most)},
    }


def shown(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a coverage record with at most HOLES of its holes, in ascending order.

    Holes of which most is missing come first, and filled ones last. `holes_left_off` counts those
    left off of which something is missing. Of a hole in many pieces the widest are kept; the sums
    count all of it.
    """
    holes = value["holes"]
    widest = sorted(nlargest(HOLES, range(len(holes)), key=lambda place: missing_of(holes[place])))
    kept = [_with_widest_pieces(holes[place]) for place in widest]
    return {**value, "holes": kept, "holes_left_off": _open(holes) - _open(kept)}


def _open(holes: Iterable[Mapping[str, Any]]) -> int:
    return sum(missing_of(each) > 0 for each in holes)


def _with_widest_pieces(hole: Mapping[str, Any]) -> dict[str, Any]:
    pieces = nlargest(PIECES, hole["remaining"], key=lambda piece: piece[1] - piece[0])
    return {**hole, "remaining": sorted(pieces)}
