"""Decides which log lines are repeats: of lines that say the same, one a minute is written, and the others are counted."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Hashable

SPAN_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 1000


class Repeats:
    """Remembers what was said in the last minute, the oldest first. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since: OrderedDict[Hashable, float] = OrderedDict()
        self._left_out: dict[Hashable, int] = {}

    def is_repeat(self, saying: Hashable, now: float) -> bool:
        """Return whether `saying` was written within the last minute, and so is only counted."""
        if saying in self._since and now - self._since[saying] < SPAN_SECONDS:
            self._left_out[saying] = self._left_out.get(saying, 0) + 1
            return True
        self._since[saying] = now
        self._since.move_to_end(saying)
        return False

    def ended(self, now: float) -> list[tuple[Hashable, int]]:
        """Forget whose minute is over, and what is too much to remember; return what was left out of it, with how often."""
        over = []
        while self._since:
            saying, since = next(iter(self._since.items()))
            if now - since < SPAN_SECONDS and len(self._since) <= MOST_REMEMBERED:
                break
            del self._since[saying]
            if count := self._left_out.pop(saying, 0):
                over.append((saying, count))
        return over
