"""What `/status` shows of a bond's day: its record, with the widest of its holes."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

from connector.core.coverage.overview import missing_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A record may have a thousand holes, each in a thousand pieces, and there may be a thousand bonds.
HOLES: Final = 20
PIECES: Final = 20  # of one hole


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
