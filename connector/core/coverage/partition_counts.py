"""By how many partitions ticks are written, and which bonds moved when that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from connector.core.coverage.dates import seoul_date, start_ms
from connector.core.ticks.partition import partition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

_MOST_PARTITIONS: Final = 1_000_000
_MOST_CHANGES: Final = 1_000


class PartitionCounts:
    """Give each event `partitions_changed` to `event`.

    `in_use` is the number by which the connector writes, None if it never told of a change. A
    topic may have more partitions: a running connector keeps to the number it began with.
    """

    def __init__(self) -> None:
        self.in_use: int | None = None
        self._told_ms = 0
        self._changes: set[tuple[date, int, int]] = set()

    def event(self, at_ms: int, detail: Mapping[str, Any]) -> None:
        """Take in one event. One that is not as it should be is ignored."""
        before, after, is_adopted = (detail.get(name) for name in ("before", "after", "adopted"))
        if not (_is_count(before) and _is_count(after) and isinstance(is_adopted, bool)):
            return
        if at_ms >= self._told_ms:
            self._told_ms, self.in_use = at_ms, after if is_adopted else before
        if is_adopted and len(self._changes) < _MOST_CHANGES:
            self._changes.add((seoul_date(at_ms), int(before or 0), int(after or 0)))

    def knows_moves(self) -> bool:
        """Return whether any bond may have moved to another partition."""
        return bool(self._changes)

    def has_moved(self, isin: str, trade_date: date) -> bool:
        """Return whether ticks of the bond of that date lie in two partitions."""
        key = isin.encode()
        return any(
            on == trade_date and partition(key, before) != partition(key, after) for on, before, after in self._changes
        )

    def forget(self, before_ms: int) -> None:
        """Drop the changes before a time."""
        self._changes = {each for each in self._changes if start_ms(each[0]) >= before_ms}


def _is_count(number: object) -> bool:
    return type(number) is int and 0 < number < _MOST_PARTITIONS
