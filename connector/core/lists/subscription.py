"""The named lists of wanted bonds: what each control record changes, and what is desired of all lists together.

Every record is judged as a whole: accepted, or refused while the list's last good content stays in force. The removal guard compares the
*desired* set (the union of the lists that are not paused) before and after; `restore` judges a complete reading of the control topic
against what was in force before it.
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
    """Where a record stands in the control topic."""

    partition: int
    offset: int


class ControlRecord(NamedTuple):
    """One record of the control topic; `value` None is a tombstone, `timestamp_ms` is Kafka's."""

    key: bytes | None
    value: bytes | None
    position: Position
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class InForce:
    """The content a list has, from its last accepted record; `requested_at` in microseconds since 1970 UTC, or else the record's time."""

    wish: Wish
    requested_at: int
    control: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """One list: what is in force, the latest record judged (`control`), and why that one was refused, if it was."""

    in_force: InForce | None
    control: Position
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Lists:
    """All lists by name; `wanted_by` counts, for each desired bond, the lists that want it."""

    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))
    wanted_by: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), repr=False)


class Desired(NamedTuple):
    """One desired bond; `lists` (sorted) want it, `control` is the latest accepted record that names it, paused lists included."""

    isin: str
    priority: int
    requested_at: int
    lists: tuple[str, ...]
    control: Position


def list_name(key: bytes | None) -> str | None:
    """Return the list a record's key names; None for a missing or non-UTF-8 key, whose record changes nothing."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


def of(entries: Mapping[str, Entry]) -> Lists:
    """Return `Lists` holding `entries`."""
    draft = _Draft(Lists())
    for name, entry in entries.items():
        draft.put(name, entry)
    return draft.frozen()


def apply(lists: Lists, record: ControlRecord) -> Lists:
    """Return the lists after one record. Never raises."""
    return apply_all(lists, (record,))


def apply_all(lists: Lists, records: Iterable[ControlRecord]) -> Lists:
    """Return the lists after `records`, judged one by one in the order given; one copy for all of them. Never raises."""
    return judge_all(lists, records)[0]


def judge_all(lists: Lists, records: Iterable[ControlRecord]) -> tuple[Lists, list[tuple[str, Entry]]]:
    """Return what `apply_all` does, and each refusal on the way: the list's name, and its entry just after it. Never raises."""
    draft = _Draft(lists)
    for record in records:
        draft.judge(record)
    return draft.frozen(), draft.refused


def restore(previous: Lists, records: Iterable[ControlRecord]) -> Lists:
    """Return the lists that a complete reading of the control topic means, where `previous` was in force before it. Never raises.

    Of each list only what is newer than `previous` is judged, and of that only the latest record, the latest readable one, and the latest
    with `confirm_removal` before it, so that it hardly matters how far the topic was compacted. What is in `previous` and absent from the
    topic is removed, unless all of that together meets the removal guard, or the list's removal was held back before.
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
            draft.put(name, replace(before, in_force=_dated(before.in_force, history)))
        unjudged += _decisive(name, _unknown(name, before, history))
    for record in sorted(unjudged, key=lambda record: record.position):
        draft.judge(record)
    draft.remove_absent([name for name in previous.entries if name not in by_name])
    return draft.frozen()


def desired(lists: Lists) -> list[Desired]:
    """Return the desired bonds, the most wanted first: by priority (higher first), time of the request, ISIN."""
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


def _dated(content: InForce, history: list[ControlRecord]) -> InForce:
    """Take the time of a request that names none from its record, where the topic still holds it."""
    if content.wish.requested_at is None:
        for record in history:
            if record.position == content.control:
                return replace(content, requested_at=record.timestamp_ms * 1000)
    return content


def _unknown(name: str, before: Entry | None, history: list[ControlRecord]) -> list[ControlRecord]:
    """Return the records that were not judged before.

    Positions mean nothing in a topic that was made anew: the record judged last is then not where it was, or says something else.
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
    """Leave out what later records of the same list made void."""
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
    """Lists being changed: private copies, so that a burst of records costs one copy and not one for each."""

    def __init__(self, lists: Lists) -> None:
        self._entries = dict(lists.entries)
        self._wanted_by = dict(lists.wanted_by)
        self.refused: list[tuple[str, Entry]] = []

    def frozen(self) -> Lists:
        return Lists(MappingProxyType(self._entries), MappingProxyType(self._wanted_by))

    def put(self, name: str, entry: Entry | None) -> None:
        before = self._entries.pop(name, None)
        # Added before removed: an instrument that stays must not leave the counts in between.
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
        """Remove lists the topic holds no record of, unless the guard holds all of them back."""
        going = [name for name in names if not (self._entries[name].refusal or "").startswith(GUARD_REASON)]
        leaving: defaultdict[str, int] = defaultdict(int)
        for name in going:
            for isin in _active(self._entries[name].in_force):
                leaving[isin] += 1
        dropped = sum(1 for isin, count in leaving.items() if count == self._wanted_by[isin])
        guarded = self._reason(
            dropped, "the control topic holds no record of this list, and all such lists", _TO_RESTORE
        )
        for name in going:
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
