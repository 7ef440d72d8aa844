"""When a bond was not wanted, or was wanted but not registered."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

from connector.core.coverage.hole import NOT_WANTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOT_REGISTERED: Final = "not_registered"
_ALWAYS: Final = 1 << 62
_WITHOUT_REGISTRATION: Final = ("WAITING_CAPACITY", "REJECTED")
_MOST_CHANGES: Final = 2_000  # the oldest are dropped first


@dataclass(slots=True)
class Wanting:
    """`since_ms` is the bond's `wanted_since`. `changes` has (time, state) from its events.

    A state is None while the bond is wanted and can be registered, else the cause of its holes.
    """

    since_ms: int | None = None
    changes: list[tuple[int, str | None]] = field(default_factory=list)

    def event(self, kind: Literal["wanted", "unwanted"], at_ms: int, detail: Mapping[str, Any]) -> None:
        """Take in an event `wanted` or `unwanted`.

        `detail.state` says whether the bond is wanted but waits for room or was refused.
        """
        if detail.get("state") in _WITHOUT_REGISTRATION:
            state: str | None = NOT_REGISTERED
        else:
            state = None if kind == "wanted" else NOT_WANTED
        self.changes.append((at_ms, state))
        self.changes.sort(key=lambda change: change[0])
        del self.changes[:-_MOST_CHANGES]

    def absences(self) -> Iterator[tuple[str, int, int]]:
        """Yield (cause, from, to) of the times without a registration, in milliseconds."""
        first_ms, first = self.changes[0] if self.changes else (_ALWAYS, NOT_WANTED)
        if self.since_ms is not None and self.since_ms <= first_ms:
            yield NOT_WANTED, -_ALWAYS, self.since_ms
        elif first != NOT_WANTED:
            yield NOT_WANTED, -_ALWAYS, first_ms
        for (at_ms, state), (end_ms, _) in pairwise([*self.changes, (_ALWAYS, None)]):
            if state is not None:
                yield state, at_ms, end_ms

    def forget(self, before_ms: int) -> None:
        """Drop the changes before a time, except the last of them, which still holds then."""
        while len(self.changes) > 1 and self.changes[1][0] < before_ms:
            del self.changes[0]
