"""How many bonds KIS lets one session hold, learned from its refusals.

Times are monotonic seconds.
"""

from __future__ import annotations

from typing import Final

# A refusal may have been about a moment that was over, or KIS may have raised its limit since.
TRY_MORE_SECONDS: Final = 3600.0


class SessionLimit:
    """`value` is how many bonds a session may hold, at most the setting `capacity`.

    A limit stays learned from session to session. Once a full session has learned nothing for an
    hour, it tries one bond more, and after each success the next. If that is too many, KIS refuses
    the bond, and we learn again.
    """

    def __init__(self, capacity: int, learned: int | None = None) -> None:
        self._capacity = capacity
        self.value = learned if learned is not None and 0 < learned < capacity else capacity
        self._try_more_at = float("inf")
        self._is_trying = False

    def begin(self, now: float) -> None:
        """Start a session: one bond more is tried after an hour at the earliest."""
        self._is_trying = False
        self._try_more_at = now + TRY_MORE_SECONDS

    def learn(self, held: int, now: float) -> None:
        """Set the limit to the number of bonds that KIS held when it refused one more."""
        self.value, self._is_trying = held, False
        self._try_more_at = now + TRY_MORE_SECONDS

    def confirm(self, confirmed: int) -> None:
        """Record how many bonds KIS holds: the limit is at least so high."""
        if self._is_trying and confirmed >= self.value:
            self._try_more_at = float("-inf")
        self.value = max(self.value, confirmed)

    def try_more_at(self, confirmed: int) -> float | None:
        """Return when one more bond may be tried, or None if that would not help."""
        return self._try_more_at if self.value <= confirmed and self.value < self._capacity else None

    def advance(self, confirmed: int, now: float) -> None:
        """Allow one bond more if it is time."""
        due_at = self.try_more_at(confirmed)
        if due_at is not None and due_at <= now:
            self.value, self._is_trying = self.value + 1, True
            self._try_more_at = now + TRY_MORE_SECONDS
