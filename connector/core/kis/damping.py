"""How long a bond has to rest if lists add and remove the bond again and again.

KIS blocks app keys that register and release without end (notices of 2026-02-24 and 2026-05-18).
Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The first releases of a bond need no rest, so that a mistake can be corrected at once. Each later
# release needs a longer rest.
FREE_RELEASES: Final = 2
FIRST_REST_SECONDS: Final = 10.0
LONGEST_REST_SECONDS: Final = 600.0
# After this time without a release or a rest, a bond counts as new. The time must be much longer
# than the longest rest, so that a resting bond never counts as new.
FORGIVEN_AFTER_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Flapping:
    releases: int
    seen_at: float
    quiet_until: float


class Damping:
    """Counts the releases of each bond of one slot; it lives as long as the slot."""

    def __init__(self) -> None:
        self._flapping: dict[str, _Flapping] = {}

    def rest(self, isin: str, now: float) -> float:
        """Return for how many seconds a bond must be unwanted before it is released."""
        flapping = self._flapping.get(isin)
        if flapping is None or flapping.releases < FREE_RELEASES or now >= flapping.seen_at + FORGIVEN_AFTER_SECONDS:
            return 0.0
        return min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2.0 ** min(flapping.releases - FREE_RELEASES, 16))

    def quiet_until(self, isin: str) -> float:
        """Return when a bond may be registered again."""
        return self._flapping[isin].quiet_until if isin in self._flapping else float("-inf")

    def note_unwanted(self, isin: str, now: float) -> None:
        """Record that a bond is unwanted at `now`, so that it does not count as new."""
        if isin in self._flapping and self.rest(isin, now):
            self._flapping[isin].seen_at = now

    def count_release(self, isin: str, now: float, quiet_until: float) -> None:
        """Count a release; the bond may not be registered again before `quiet_until`."""
        self._flapping = {
            other: seen for other, seen in self._flapping.items() if now < seen.seen_at + FORGIVEN_AFTER_SECONDS
        }
        before = self._flapping.get(isin)
        self._flapping[isin] = _Flapping(1 if before is None else before.releases + 1, now, quiet_until)
