"""How often we may connect to KIS, and how long a session may be silent.

KIS blocks addresses and app keys that connect and close in a loop (notices of 2026-02-24 and
2026-05-18). A connection that opens proves nothing, because KIS may send OPSP8996 right afterwards.
Only data or a PINGPONG proves that a session works. Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Cause = Literal["closed", "reset", "silence", "refused", "in_use", "handshake", "approval", "lease", "stop"]

LONGEST_SILENCE_SECONDS = 900.0
STEADY_WAITS = 3
# The group moved a slot to us, and KIS still counts the session of its earlier owner, which may
# have hung or lost its network. That session ends soon, so the first attempts come sooner.
TAKEOVER_WAIT_SECONDS = 8.0
TAKEOVER_TRIES = 7
# Causes of attempts that never opened a session; they do not reset the count of silent sessions.
NEVER_OPENED: frozenset[Cause] = frozenset({"handshake", "approval", "refused"})


@dataclass(frozen=True, slots=True)
class Waits:
    """The settings `kis.*` that bound the waits, in seconds."""

    reconnect_min: float
    reconnect_max: float
    in_use_wait: float
    in_use_wait_max: float
    silence_timeout: float


class Backoff:
    """Counts failures since a session last proved alive, and sets the waits accordingly.

    `random` returns floats in [0, 1). `taken_over` says that another replica had the app key until
    just before; until the first session proves alive, its first refusals as "in use" are followed
    by short waits.
    """

    def __init__(self, waits: Waits, random: Callable[[], float], *, taken_over: bool = False) -> None:
        self._waits = waits
        self._random = random
        self._taken_over = taken_over
        self._takeover_refusals = 0
        self._failures = 0
        self._refusals = 0
        self._silences = 0
        self._proved = False

    def proved_alive(self) -> None:
        """Record that data or a PINGPONG was received, so that the shortest waits apply again."""
        self._failures = self._refusals = self._takeover_refusals = self._silences = 0
        self._taken_over = False
        self._proved = True

    @property
    def failures(self) -> int:
        """How many attempts and sessions failed since a session last proved alive."""
        return self._failures + self._refusals + self._takeover_refusals

    @property
    def silence_timeout(self) -> float:
        """Seconds without any inbound frame after which a session counts as dead."""
        base = self._waits.silence_timeout
        return min(base * 2.0 ** min(self._silences, 32), max(base, LONGEST_SILENCE_SECONDS))

    def ended(self, cause: Cause, *, in_use: bool = False) -> float:
        """Return the seconds to wait before the next connection, given why the last one ended.

        `in_use` selects the long waits. It is true after OPSP8996, and if KIS refused the approval
        keys of one session twice.
        """
        if cause == "silence" and not self._proved:
            self._silences += 1
        elif cause not in NEVER_OPENED:
            self._silences = 0
        self._proved = False
        if cause == "refused":
            return self._waits.reconnect_max
        if cause == "in_use" and self._taken_over and self._takeover_refusals < TAKEOVER_TRIES:
            self._takeover_refusals += 1
            return min(TAKEOVER_WAIT_SECONDS, self._waits.in_use_wait)
        return self.next_long_wait() if in_use else self._next_reconnect_wait()

    def _next_reconnect_wait(self) -> float:
        # Half of the span is fixed, so that a small random number makes no fast loop. The other
        # half is random, so that clients that were cut off together do not return together.
        floor = self._waits.reconnect_min
        span = min(floor * 2.0 ** min(self._failures, 32), max(0.0, self._waits.reconnect_max - floor))
        self._failures += 1
        return floor + span * (0.5 + self._random() / 2)

    def next_long_wait(self) -> float:
        """Return the next long wait in seconds: three waits are equal, then each is doubled."""
        doublings = max(0, self._refusals - STEADY_WAITS + 1)
        self._refusals += 1
        first = self._waits.in_use_wait
        return min(first * 2.0 ** min(doublings, 32), max(first, self._waits.in_use_wait_max))
