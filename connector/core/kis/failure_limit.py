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
    """Counts errors and missing replies; it lives as long as the slot.

    Half of the `most` failures an hour may come at any pace. Then requests that may fail go out one
    by one, with pauses, so that the slot goes on soon after KIS takes requests again.
    """

    def __init__(self, most: int = FAILURES_AN_HOUR) -> None:
        self._failed_at: deque[float] = deque(maxlen=most // 2)
        self._pause = HOUR_SECONDS / (most - most // 2)

    def count(self, now: float) -> None:
        """Count a request that failed."""
        self._failed_at.append(now)

    def is_reached(self, now: float) -> bool:
        """Whether requests that may fail go out one by one."""
        return len(self._failed_at) == self._failed_at.maxlen and now < self._failed_at[0] + HOUR_SECONDS

    def passed_at(self, now: float) -> float:
        """When a request that may fail is permitted again."""
        return self._failed_at[-1] + self._pause if self.is_reached(now) else float("-inf")
