"""Admits one log line of each kind a minute, and counts the others."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

SPAN_SECONDS: Final = 60.0
MAX_KINDS: Final = 1000


class Repeats:
    """The kinds of lines written in the last minute, oldest first. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._written_at: OrderedDict[Hashable, float] = OrderedDict()
        self._suppressed: dict[Hashable, int] = {}

    def admit(self, kind: Hashable, now: float) -> bool:
        """Return whether to write a line of this kind; otherwise count it as suppressed."""
        if kind in self._written_at and now - self._written_at[kind] < SPAN_SECONDS:
            self._suppressed[kind] = self._suppressed.get(kind, 0) + 1
            return False
        self._written_at[kind] = now
        self._written_at.move_to_end(kind)
        return True

    def expire(self, now: float) -> list[tuple[Hashable, int]]:
        """Drop entries older than a minute, and the oldest entries while there are too many.

        Return each dropped kind that had suppressed repeats, and how many it had.
        """
        expired = []
        while self._written_at:
            kind, written_at = next(iter(self._written_at.items()))
            if now - written_at < SPAN_SECONDS and len(self._written_at) <= MAX_KINDS:
                break
            del self._written_at[kind]
            if count := self._suppressed.pop(kind, 0):
                expired.append((kind, count))
        return expired
