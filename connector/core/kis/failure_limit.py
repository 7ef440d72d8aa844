"""How many requests of one slot may fail within an hour.

KIS blocks clients that register again and again without success (notices of 2026-02-24 and
2026-05-18). The waits of the bonds bound what one bond costs. This bounds what all bonds of a slot
cost together, however many lists name wrong ones. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

HOUR_SECONDS: Final = 3600.0
# One every fifteen seconds. KIS names no number.
FAILURES_AN_HOUR: Final = 240


class FailureLimit:
    """Counts errors and missing replies, `most` an hour; it lives as long as the slot."""

    def __init__(self, most: int = FAILURES_AN_HOUR) -> None:
        self._failed_at: deque[float] = deque(maxlen=most)

    def count(self, now: float) -> None:
        """Count a request that failed."""
        self._failed_at.append(now)

    @property
    def passed_at(self) -> float:
        """When a request that may fail is permitted again."""
        is_full = len(self._failed_at) == self._failed_at.maxlen
        return self._failed_at[0] + HOUR_SECONDS if is_full else float("-inf")
