"""How many requests of one slot may fail within an hour.

KIS blocks clients that register again and again without success (notices of 2026-02-24 and
2026-05-18). The waits of the bonds bound what one bond costs. This bounds what all bonds of a slot
cost together, however many lists name wrong ones. A bond that has not failed pays little for those
that failed: its failure is counted apart. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

HOUR_SECONDS: Final = 3600.0
# One every fifteen seconds, of bonds that failed before. KIS names no number.
REPEATED_FAILURES_AN_HOUR: Final = 240
# Of bonds that have not failed since KIS confirmed them, or that a session's end cut off.
FIRST_FAILURES_AN_HOUR: Final = 1000


class FailureLimit:
    """Counts errors and missing replies; it lives as long as the slot.

    Half of the `most` failures an hour may come at any pace. Then requests go out one by one, with
    pauses after failures, so that the slot goes on soon after KIS takes requests again.
    """

    def __init__(self, most: int) -> None:
        self._failed_at: deque[float] = deque(maxlen=most // 2)
        self._pause = HOUR_SECONDS / (most - most // 2)

    def count(self, now: float) -> None:
        """Count a request that failed."""
        self._failed_at.append(now)

    def is_reached(self, now: float) -> bool:
        """Whether requests go out one by one."""
        return len(self._failed_at) == self._failed_at.maxlen and now < self._failed_at[0] + HOUR_SECONDS

    def passed_at(self, now: float) -> float:
        """When a request is permitted again."""
        return self._failed_at[-1] + self._pause if self.is_reached(now) else float("-inf")
