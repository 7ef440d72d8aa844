"""What `/status` shows of the coverage of a day: its sums, and each bond's record.

A record is shown with the widest of its holes.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappush, heapreplace, nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from connector.core.coverage.overview import missing_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from datetime import date

# A record may have a thousand holes, each in a thousand pieces.
HOLES: Final = 20
PIECES: Final = 20  # of one hole
BONDS: Final = 1_000  # of a day; together some half a megabyte
CAUSES: Final = 20  # there are some fifteen
SUMS: Final = ("covered_volume", "accumulated_volume", "missing_volume", "unwanted_volume")


def shown_day(
    trade_date: date, records: Iterable[tuple[str, Mapping[str, Any]]]
) -> Generator[None, None, dict[str, Any]]:
    """Return the parts `coverage` and `days` of a status, from a date's bonds and their records.

    Each step takes one record, because there may be 20,000. `coverage` has the sums over all of
    them; its `open_holes` counts holes that are not filled, by cause. `days` has the records of at
    most BONDS bonds: those with most missing volume.
    """
    states, open_holes, sums = Counter[str](), Counter[str](), dict.fromkeys(SUMS, 0)
    most: list[tuple[int, str, dict[str, Any]]] = []  # a heap by missing volume
    for isin, value in records:
        states[value["state"]] += 1
        for name in SUMS:
            sums[name] += value[name]
        open_holes.update(
            hole["cause"] for hole in value["holes"] if hole["state"] != "FILLED" and hole["cause"] is not None
        )
        missing = value["missing_volume"]
        if len(most) < BONDS:
            heappush(most, (missing, isin, shown(value)))
        elif missing > most[0][0]:
            heapreplace(most, (missing, isin, shown(value)))
        yield
    return {
        "coverage": {
            "trade_date": trade_date.isoformat(),
            "bonds": states.total(),
            "states": dict(states),
            **sums,
            "open_holes": dict(open_holes.most_common(CAUSES)),
        },
        "days": {isin: value for _, isin, value in sorted(most, key=itemgetter(1))},
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
