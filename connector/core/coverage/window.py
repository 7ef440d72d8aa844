"""Where and when the trades of a hole were missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from connector.core.coverage.dates import opens_ms, start_ms

if TYPE_CHECKING:
    from datetime import date

    from connector.core.coverage.hole import Hole


class Window(NamedTuple):
    """A bond, the slots that carried it before and after, and the time between its two trades."""

    isin: str
    slots: frozenset[int]
    from_ms: int
    to_ms: int

    @classmethod
    def of(cls, isin: str, trade_date: date, hole: Hole) -> Window:
        """Return the window of a hole. One at the start of the day begins when trading begins."""
        slots = frozenset(trade.slot for trade in (hole.after, hole.before) if trade and trade.slot is not None)
        other = hole.before.seen_ms if hole.before else hole.until_ms
        opens = opens_ms(trade_date)
        # Only test markets trade earlier.
        one = hole.after.seen_ms if hole.after else opens if other >= opens else start_ms(trade_date)
        return cls(isin, slots, min(one, other), max(one, other))
