"""Holds back unconfirmed control records that would drop most of the desired bonds.

Somebody who empties a list by mistake must not stop the feed of a whole desk. Ten minutes count
together, so it makes no difference whether one record drops the bonds or many. Times are monotonic
seconds.
"""

from collections import deque
from typing import Final

REASON: Final = "removal guard"  # every refusal begins like this; readers of list records rely on it
LEAST_DROPPED: Final = 10
WINDOW_SECONDS: Final = 600.0

# What the guard may hold back, as the subject of its sentence, and how to confirm it.
VALUE: Final = "this record"
TOMBSTONE: Final = "this tombstone"
ABSENCE: Final = "removing this list and every other list that has no control record"
_REMEDIES: Final = {
    VALUE: 'send the same value with "confirm_removal": true',
    TOMBSTONE: 'first write {"instruments": [], "confirm_removal": true}, then the tombstone',
    ABSENCE: 'write the list again, or {"instruments": [], "confirm_removal": true} and then a tombstone',
}


class RemovalGuard:
    """The highest number of desired bonds within the window, which begins with `count`."""

    def __init__(self, count: int, now: float) -> None:
        # Each number with the time from which on none before it was exceeded; the highest is first.
        self._counts = deque([(now, count)])

    def highest(self, now: float) -> int:
        """Return the highest number of desired bonds that was in force within the window."""
        while len(self._counts) > 1 and self._counts[1][0] <= now - WINDOW_SECONDS:
            self._counts.popleft()
        return self._counts[0][1]

    def note(self, count: int, now: float) -> None:
        """Record the number of desired bonds from `now` on."""
        since = now
        while self._counts and self._counts[-1][1] <= count:
            since, _ = self._counts.pop()
        self._counts.append((since, count))

    def confirm(self, count: int, now: float) -> None:
        """Record a confirmed removal, so that it is not held against others."""
        self._counts = deque([(now, count)])

    def refusal(self, before: int, after: int, now: float, what: str) -> str | None:
        """Return why a change of the desired bonds' number is held back, or None if it may pass."""
        highest = self.highest(now)
        if after >= before or highest - after < LEAST_DROPPED or after * 2 >= highest:
            return None
        left = f"{what} would have left {after} of {highest} bonds desired within ten minutes"
        return f"{REASON}: {left}; {_REMEDIES[what]}"


def is_held_back(refusal: object, what: str = "") -> bool:
    """Return whether the removal guard gave this refusal, to `what` if given.

    Anyone may have written the refusal.
    """
    return isinstance(refusal, str) and refusal.startswith(f"{REASON}: {what}" if what else REASON)
