"""The named lists of wanted bonds: what a control record changes, and which bonds are desired.

A record is accepted or refused as a whole. If it is refused, the last good content of its list
stays in force. The desired bonds are the union of all lists that are not paused; the removal guard
compares them before and after a record. `restore` judges a complete reading of the control topic
against the content that was in force before it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from connector.core.lists import control_record
from connector.core.lists.control_record import Refusal, Wish

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GUARD_REASON: Final = "removal guard"
GUARD_LEAST: Final = 10

_TO_RELEASE: Final = 'send the same value with "confirm_removal": true'
_TO_REMOVE: Final = 'first write {"instruments": [], "confirm_removal": true}, then the tombstone'
_TO_RESTORE: Final = 'write the list again, or {"instruments": [], "confirm_removal": true} and then a tombstone'


class Position(NamedTuple):
    """Where a record is in the control topic."""

    partition: int
    offset: int


class ControlRecord(NamedTuple):
    """One record of the control topic; `value` None is a tombstone. `timestamp_ms` is Kafka's."""

    key: bytes | None
    value: bytes | None
    position: Position
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class InForce:
    """The content of a list, from its last accepted record.

    `requested_at` is in microseconds since 1970 UTC: the time the value names, else the record's.
    """

    wish: Wish
    requested_at: int
    control: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """One list: its content in force, and its latest record.

    `control` is where that record is, and `refusal` is why it was refused, if it was.
    """

    in_force: InForce | None
    control: Position
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Lists:
    """All lists by name; `wanted_by` counts the lists that want each desired bond."""

    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))
    wanted_by: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), repr=False)


class Desired(NamedTuple):
    """One desired bond.

    `lists` are the names of the lists that want it, sorted. `control` is the latest accepted record
    that names it, also in a paused list.
    """

    isin: str
    priority: int
    requested_at: int
    lists: tuple[str, ...]
    control: Position


def list_name(key: bytes | None) -> str | None:
    """Return the list that a record's key names, None if the key is missing or not UTF-8.

    A record without a list name changes nothing.
    """
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def from_entries(entries: Mapping[str, Entry]) -> Lists:
    """Return the lists with these entries."""
    draft = _Draft(Lists())
    for name, entry in entries.items():
        draft.put(name, entry)
    return draft.frozen()


def apply(lists: Lists, record: ControlRecord) -> Lists:
    """Return the lists after one record. Never raises."""
    return apply_all(lists, (record,))


def apply_all(lists: Lists, records: Iterable[ControlRecord]) -> Lists:
    """Return the lists after `records`, judged one by one in the order given. Never raises.

    The lists are copied once for all records.
    """
    return judge_all(lists, records)[0]


def judge_all(lists: Lists, records: Iterable[ControlRecord]) -> tuple[Lists, list[tuple[str, Entry]]]:
    """Return the lists after `records`, and each refusal on the way. Never raises.

    A refusal is the name of the list and its entry just after the refused record.
    """
    draft = _Draft(lists)
    for record in records:
        draft.judge(record)
    return draft.frozen(), draft.refused


def restore(previous: Lists, records: Iterable[ControlRecord]) -> Lists:
    """Return the lists after a complete reading of the control topic. Never raises.

    `previous` was in force before it. Of each list only records newer than `previous` are judged,
    and of these only three: the latest, the latest readable one, and the latest before that with
    `confirm_removal`. So it hardly matters how far the topic was compacted.
    Lists of `previous` that are absent from the topic are removed, but not if their removal was
    held back before. The removal guard judges all these removals together.
    """
    by_name: defaultdict[str, list[ControlRecord]] = defaultdict(list)
    for record in records:
        if (name := list_name(record.key)) is not None:
            by_name[name].append(record)
    draft = _Draft(previous)
    unjudged: list[ControlRecord] = []
    for name, history in by_name.items():
        before = previous.entries.get(name)
        if before is not None and before.in_force is not None:
            draft.put(name, replace(before, in_force=_with_record_time(before.in_force, history)))
        unjudged += _decisive(name, _unjudged(name, before, history))
    for record in sorted(unjudged, key=lambda record: record.position):
        draft.judge(record)
    draft.remove_absent([name for name in previous.entries if name not in by_name])
    return draft.frozen()


def desired(lists: Lists) -> list[Desired]:
    """Return the desired bonds by priority (higher first), time of the request and ISIN."""
    wanted: dict[str, Desired] = {}
    for name, entry in sorted(lists.entries.items()):
        if (content := entry.in_force) is None or content.wish.paused:
            continue
        for isin in content.wish.instruments:
            so_far = wanted.get(isin)
            mine = Desired(isin, content.wish.priority, content.requested_at, (name,), content.control)
            wanted[isin] = mine if so_far is None else _merged(so_far, mine)
    for entry in lists.entries.values():
        if (content := entry.in_force) is not None and content.wish.paused:
            for isin in content.wish.instruments:
                if (so_far := wanted.get(isin)) is not None and so_far.control < content.control:
                    wanted[isin] = so_far._replace(control=content.control)
    return sorted(wanted.values(), key=lambda bond: (-bond.priority, bond.requested_at, bond.isin))


def _merged(one: Desired, other: Desired) -> Desired:
    return Desired(
        one.isin,
        max(one.priority, other.priority),
        min(one.requested_at, other.requested_at),
        one.lists + other.lists,
        max(one.control, other.control),
    )


def _active(content: InForce | None) -> tuple[str, ...]:
    return () if content is None or content.wish.paused else content.wish.instruments


def _with_record_time(content: InForce, history: list[ControlRecord]) -> InForce:
    """Set the time of a request that names none to its record's, if the topic still has it."""
    if content.wish.requested_at is None:
        for record in history:
            if record.position == content.control:
                return replace(content, requested_at=record.timestamp_ms * 1000)
    return content


def _unjudged(name: str, before: Entry | None, history: list[ControlRecord]) -> list[ControlRecord]:
    """Return the records that were not judged before.

    If the topic was deleted and created again, all records are new. Then its latest record is
    before the one judged last, or is at the same position with other content.
    """
    if before is None:
        return history
    latest = history[-1]
    if latest.position < before.control:
        return history
    if latest.position == before.control and before.refusal is None and before.in_force is not None:
        same = latest.value is not None and control_record.parse(name, latest.value) == before.in_force.wish
        return [] if same else history
    return [record for record in history if record.position > before.control]


def _decisive(name: str, history: list[ControlRecord]) -> list[ControlRecord]:
    """Leave out the records that later ones of the same list superseded."""
    chosen: list[ControlRecord] = []
    readable = False
    for record in reversed(history):
        wish = None if record.value is None else control_record.parse(name, record.value)
        if isinstance(wish, Refusal):
            if not chosen:
                chosen.append(record)
        elif not readable:
            readable = True
            chosen.append(record)
            if wish is not None and wish.confirm_removal:
                break
        elif wish is not None and wish.confirm_removal:
            chosen.append(record)
            break
    return chosen


class _Draft:
    """Lists that are being changed: a burst of records costs one copy, not one for each record."""

    def __init__(self, lists: Lists) -> None:
        self._entries = dict(lists.entries)
        self._wanted_by = dict(lists.wanted_by)
        self.refused: list[tuple[str, Entry]] = []

    def frozen(self) -> Lists:
        return Lists(MappingProxyType(self._entries), MappingProxyType(self._wanted_by))

    def put(self, name: str, entry: Entry | None) -> None:
        before = self._entries.pop(name, None)
        # Add first: an instrument that stays must not leave the counts in between.
        for isin in _active(entry.in_force if entry else None):
            self._wanted_by[isin] = self._wanted_by.get(isin, 0) + 1
        for isin in _active(before.in_force if before else None):
            self._wanted_by[isin] -= 1
            if not self._wanted_by[isin]:
                del self._wanted_by[isin]
        if entry is not None:
            self._entries[name] = entry

    def judge(self, record: ControlRecord) -> None:
        if (name := list_name(record.key)) is None:
            return
        self.put(name, entry := self._judged(name, record))
        if entry is not None and entry.refusal is not None:
            self.refused.append((name, entry))

    def _judged(self, name: str, record: ControlRecord) -> Entry | None:
        before = self._entries.get(name)
        in_force = before.in_force if before else None
        wish = None if record.value is None else control_record.parse(name, record.value)
        match wish:
            case Refusal():
                return Entry(in_force, record.position, wish.reason)
            case Wish():
                at = record.timestamp_ms * 1000 if wish.requested_at is None else wish.requested_at
                held = None if wish.confirm_removal else self._held_back(in_force, wish, "this record", _TO_RELEASE)
                return (
                    Entry(in_force, record.position, held)
                    if held
                    else Entry(InForce(wish, at, record.position), record.position)
                )
            case None:
                held = self._held_back(in_force, None, "this tombstone", _TO_REMOVE)
                return Entry(in_force, record.position, held) if held else None

    def remove_absent(self, names: list[str]) -> None:
        """Remove the lists that the topic does not hold, unless the guard holds that back."""
        absent = [name for name in names if not (self._entries[name].refusal or "").startswith(GUARD_REASON)]
        leaving: defaultdict[str, int] = defaultdict(int)
        for name in absent:
            for isin in _active(self._entries[name].in_force):
                leaving[isin] += 1
        dropped = sum(1 for isin, count in leaving.items() if count == self._wanted_by[isin])
        guarded = self._reason(
            dropped, "the control topic holds no record of this list, and all such lists", _TO_RESTORE
        )
        for name in absent:
            self.put(name, replace(self._entries[name], refusal=guarded) if guarded else None)

    def _held_back(self, before: InForce | None, after: Wish | None, what: str, remedy: str) -> str | None:
        leaving = set(_active(before))
        if after is not None and not after.paused:
            leaving.difference_update(after.instruments)
        return self._reason(sum(1 for isin in leaving if self._wanted_by[isin] == 1), what, remedy)

    def _reason(self, dropped: int, what: str, remedy: str) -> str | None:
        total = len(self._wanted_by)
        if dropped < GUARD_LEAST or dropped * 2 <= total:
            return None
        return f"{GUARD_REASON}: {what} would have dropped {dropped} of {total} desired bonds; {remedy}"
