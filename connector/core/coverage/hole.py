"""One hole that has been announced: bounds and id stay, what remains of it shrinks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from datetime import date

    from connector.core.coverage.tick import Trade

State = Literal["OPEN", "FILLED", "CONFIRMED"]
By = Literal["late", "rest", "replay"]
NOT_WANTED: Final = "not_wanted"
NO_TRADE: Final = "no_trade"
UNKNOWN: Final = "unknown"
FILLED_BY: Final[dict[str, By]] = {"ws": "late", "rest": "rest", "replay": "replay"}  # by the tick's source


@dataclass(slots=True)
class Hole:
    """Volume (low, high]. `after` and `before` are the trades on its sides when it was announced.

    `until_ms` is when the hole got its bounds. `has_gap_event` is true once Kafka has its `gap`
    event, and `is_announced` once Kafka has the event of its present state. `filled_by` is how the
    last of the missing volume arrived. `unlisted` is what of it is only counted, so that nobody can
    tell whether it came: such a hole is neither filled nor confirmed.
    """

    id: str
    low: int
    high: int
    after: Trade | None
    before: Trade | None
    until_ms: int
    cause: str
    state: State = "OPEN"
    is_announced: bool = False
    has_gap_event: bool = False
    filled_by: By = "late"
    unlisted: int = 0


def hole_id(isin: str, trade_date: date, low: int, high: int) -> str:
    """Return the id of a hole. It is the same whoever finds the hole, and whenever."""
    return f"{isin}/{trade_date.isoformat()}/{low}-{high}"
