"""What the auditor knows of one tick."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import date


class Trade(NamedTuple):
    """One trade as the neighbour of a hole.

    `seen_ms` is when the connector received the trade. For a trade that came by REST it is the
    trade's own time, because the reply's time says nothing about the feed. `slot` is None for such
    a trade.
    """

    traded_ms: int
    tick_id: str
    seen_ms: int
    slot: int | None


class Tick(NamedTuple):
    """One record of the tick topic. `source` is its field: `ws`, `rest` or `replay`."""

    isin: str
    trade_date: date
    volume: int
    accumulated: int
    trade: Trade
    source: str
    partition: int
    offset: int
