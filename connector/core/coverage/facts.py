"""What is known to have interrupted the feed, and which of it caused a hole.

The facts come from the event topic, the status topic and the dead-letter topic.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeGuard

from connector.core.bonds.isin import has_shape
from connector.core.coverage.dates import parsed_ms
from connector.core.coverage.hole import NOT_WANTED, UNKNOWN
from connector.core.coverage.partition_counts import PartitionCounts
from connector.core.coverage.wanting import NOT_REGISTERED, Wanting
from connector.core.status.records import SILENT_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connector.core.coverage.window import Window

NOT_RUNNING: Final = "not_running"
KILLED: Final = "killed"
REGISTRATION_LOST: Final = "registration_lost"
DEAD_LETTER: Final = "dead_letter"
SILENT_MS: Final = SILENT_AFTER // timedelta(milliseconds=1)
ALWAYS: Final = 1 << 62  # later than any time; as a start, negated

SAME_MS: Final = 1_000
# If two facts began within a second, the first of these is the cause; causes of a session's end
# and reasons of losses come before all of them.
_ORDER: Final = (DEAD_LETTER, REGISTRATION_LOST, NOT_WANTED, NOT_RUNNING, NOT_REGISTERED)
# Foreign text becomes a cause only if it has the form of one.
_LONGEST_CAUSE: Final = 40
_MOST_FACTS: Final = 2_000  # of one slot or bond; the oldest are dropped first
_LONGEST_SILENCE: Final = 86_400  # seconds


class Fact(NamedTuple):
    """An interruption, from its first to its last moment."""

    cause: str
    from_ms: int
    to_ms: int


class Facts:
    """`version` changes with each fact, so that holes nothing explained are looked at again.

    `partition_counts` says by how many partitions ticks are written.
    """

    def __init__(self) -> None:
        self.version = 0
        self._slots: defaultdict[int, list[Fact]] = defaultdict(list)
        self._bonds: defaultdict[str, list[Fact]] = defaultdict(list)
        self._wanting: defaultdict[str, Wanting] = defaultdict(Wanting)
        self._alive: dict[int, int] = {}
        self._seen_slots: set[int] = set()
        self.partition_counts = PartitionCounts()
        self._up_ms: dict[int, int] = {}  # when the session began that no event has ended yet

    def event(self, value: Mapping[str, Any]) -> None:
        """Take in one event of the event topic. One that is not as it should be is ignored."""
        at, slot, isin, detail = (value.get(key) for key in ("at", "slot", "instrument", "detail"))
        at_ms = parsed_ms(at)
        if at_ms is None or not isinstance(detail, dict):
            return
        self.version += 1
        match value.get("event"):
            case "session_down" if type(slot) is int:
                self._session_down(slot, at_ms, detail)
            case "session_up" if type(slot) is int:
                self._session_up(slot, at_ms)
            case "loss" if type(slot) is int:
                first, last = (parsed_ms(detail.get(key)) for key in ("from", "to"))
                since = at_ms if first is None else first
                _append(self._slots[slot], Fact(_cause(detail.get("reason")), since, at_ms if last is None else last))
            case "registration_lost" if _is_bond(isin):
                since = at_ms - _silent_ms(detail.get("silent_seconds"))
                _append(self._bonds[isin], Fact(REGISTRATION_LOST, since, at_ms))
            case "wanted" | "unwanted" as kind if _is_bond(isin):
                self._wanting[isin].event(kind, at_ms, detail)
            case "partitions_changed":
                self.partition_counts.event(at_ms, detail)

    def _session_down(self, slot: int, at_ms: int, detail: Mapping[str, Any]) -> None:
        self._seen_slots.add(slot)
        self._up_ms.pop(slot, None)
        facts = self._slots[slot]
        # A try that failed while the session was down already says nothing new.
        if not any(each.to_ms == ALWAYS for each in facts):
            _append(facts, Fact(_cause(detail.get("cause")), at_ms, ALWAYS))

    def _session_up(self, slot: int, at_ms: int) -> None:
        facts = self._slots[slot]
        if slot not in self._seen_slots:
            # The first event of a slot: whatever was before, there was no session.
            _append(facts, Fact(NOT_RUNNING, -ALWAYS, at_ms))
        elif self._up_ms.get(slot, at_ms) < at_ms:
            # The session before was killed before its status record could say that it was open.
            _append(facts, Fact(KILLED, self._up_ms[slot], at_ms))
        self._seen_slots.add(slot)
        self._up_ms[slot] = max(at_ms, self._up_ms.get(slot, at_ms))
        facts[:] = [each._replace(to_ms=at_ms) if each.to_ms == ALWAYS else each for each in facts]

    def slot_alive(self, slot: int, alive_ms: int) -> None:
        """Take in the `alive_at` of a slot's status record. A long silence before it is a fact."""
        last = self._alive.get(slot)
        if last is not None and alive_ms - last > SILENT_MS:
            _append(self._slots[slot], Fact(NOT_RUNNING, last, alive_ms))
            self.version += 1
        self._alive[slot] = max(alive_ms, last or alive_ms)

    def wanted_since(self, isin: str, since_ms: int | None) -> None:
        """Take in the `wanted_since` of a bond's status record; None if there is none."""
        if self._wanting[isin].since_ms != since_ms:
            self._wanting[isin].since_ms = since_ms
            self.version += 1

    def dead_letter(self, isin: str, received_ms: int) -> None:
        """Record that the dead-letter topic holds the bond, received at that time.

        Trades of one second may be received in any order, so the neighbours of the one that became
        a dead letter may both be received on the same side of it.
        """
        if not _is_bond(isin):
            return
        _append(self._bonds[isin], Fact(DEAD_LETTER, received_ms - SAME_MS, received_ms + SAME_MS))
        self.version += 1

    def cause(self, window: Window) -> str:
        """Return the cause of a hole: the fact in its time that is nearest to its start."""
        found = [
            (max(0, fact.from_ms - window.from_ms), fact.cause)
            for fact in self._of(window)
            if fact.from_ms <= window.to_ms and fact.to_ms >= window.from_ms
        ]
        if not found:
            return UNKNOWN
        nearest = min(found)[0]
        # One happening has several facts, whose times differ a little.
        return min((cause for away, cause in found if away - nearest < SAME_MS), key=_rank)

    def _of(self, window: Window) -> Iterator[Fact]:
        for slot in sorted(window.slots):
            yield from self._slots.get(slot, ())
            last = self._alive.get(slot)
            # A slot whose owner fell silent for good. Another slot's record proves that we read on.
            if last is not None and max(self._alive.values()) - last > SILENT_MS:
                yield Fact(NOT_RUNNING, last, ALWAYS)
        yield from self._bonds.get(window.isin, ())
        if window.isin in self._wanting:
            for cause, from_ms, to_ms in self._wanting[window.isin].absences():
                yield Fact(cause, from_ms, to_ms)

    def forget(self, before_ms: int) -> None:
        """Drop the facts that ended before a time from which on no hole needs a cause."""
        for facts in (*self._slots.values(), *self._bonds.values()):
            facts[:] = [each for each in facts if each.to_ms >= before_ms]
        self._bonds = defaultdict(list, {isin: facts for isin, facts in self._bonds.items() if facts})
        self.partition_counts.forget(before_ms)
        for wanting in self._wanting.values():
            wanting.forget(before_ms)


def _append(facts: list[Fact], fact: Fact) -> None:
    facts.append(fact)
    del facts[:-_MOST_FACTS]


def _is_bond(isin: Any) -> TypeGuard[str]:
    """Return whether an event or letter is about a bond; anyone may have written it."""
    return isinstance(isin, str) and has_shape(isin)


def _silent_ms(seconds: object) -> int:
    """Return how long a bond was silent; 0 for what is no number of seconds of one day."""
    is_number = isinstance(seconds, int | float) and 0 <= seconds <= _LONGEST_SILENCE
    return int(seconds * 1000) if is_number and isinstance(seconds, int | float) else 0


def _rank(cause: str) -> tuple[int, str]:
    return _ORDER.index(cause) + 1 if cause in _ORDER else 0, cause


def _cause(text: object) -> str:
    """Return the cause that an event names, `unknown` if that has not the form of one."""
    is_one = (
        isinstance(text, str) and len(text) <= _LONGEST_CAUSE and text.replace("_", "").isalpha() and text.isascii()
    )
    return text if is_one and isinstance(text, str) else UNKNOWN
