"""Applies control records to the named lists of bonds, and computes which bonds are desired.

A record is accepted or refused as a whole. If a record is refused, the last accepted content of its
list stays in force. The desired bonds are the union of all lists that are not paused. The removal
guard compares how many bonds are desired after a record with the most within the last minutes.
`restore` judges a complete reading of the control topic against the lists that were in force before
the reading.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from connector.core.lists.control_record import MAX_KEY_CHARACTERS, Refusal, Wish
from connector.core.lists.desired import Desired, Wanted, active
from connector.core.lists.reading import TOO_MANY, to_judge, wish_of, with_record_time
from connector.core.lists.removal_guard import ABSENCE, TOMBSTONE, VALUE, RemovalGuard, is_held_back
from connector.core.steps import BOND_BYTES, step_ends

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

# Korea has some ten thousand listed bonds, and one app key carries 41 of them.
MAX_DESIRED: Final = 20_000
NO_LIST_NAME: Final = (
    f"its key names no list: the key is missing, not UTF-8 or longer than {MAX_KEY_CHARACTERS} characters"
)

_MOST_BYTES_OF_A_CHARACTER = 4  # in UTF-8


class Position(NamedTuple):
    """Where a record is in the control topic."""

    partition: int
    offset: int


class ControlRecord(NamedTuple):
    """One record of the control topic.

    A `value` of None is a tombstone. `timestamp_ms` is the timestamp of the Kafka record.
    """

    key: bytes | None
    value: bytes | None
    position: Position
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class InForce:
    """The content of a list, from its last accepted record.

    `requested_at` is the time that the value names. If the value names none, it is the timestamp of
    the first record in a row that asked for the same. The time is in microseconds since 1970 UTC,
    and 0 if it is lost.
    """

    wish: Wish
    requested_at: int
    control: Position


@dataclass(frozen=True, slots=True)
class Entry:
    """One list: its content in force and its latest record.

    `control` is the position of the latest record. `refusal` is why that record was refused, or why
    the removal of the list was held back. `refusal` is None if neither happened.
    """

    in_force: InForce | None
    control: Position
    refusal: str | None = None

    @property
    def bonds(self) -> int:
        """How many bonds the content in force names."""
        return 0 if self.in_force is None else len(self.in_force.wish.instruments)


@dataclass(frozen=True, slots=True)
class Lists:
    """All lists by name, and what follows from them.

    `desired` has the desired bonds by ISIN, ordered by priority (higher first), then by time of the
    request, then by ISIN. `named_by` has, by ISIN, the sorted names of all lists that name the
    bond, including paused lists. A desired bond that did not change stays the same object.
    """

    entries: Mapping[str, Entry] = field(default_factory=lambda: MappingProxyType({}))
    desired: Mapping[str, Desired] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    named_by: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def list_name(key: bytes | None) -> str | None:
    """Return the list that a record's key names, or None as `NO_LIST_NAME` says.

    A record without a list name changes nothing.
    """
    if key is None or len(key) > MAX_KEY_CHARACTERS * _MOST_BYTES_OF_A_CHARACTER:
        return None
    try:
        name = key.decode()
    except UnicodeDecodeError:
        return None
    return name if len(name) <= MAX_KEY_CHARACTERS else None


def with_entries(lists: Lists, entries: Mapping[str, Entry]) -> Generator[None, None, Lists]:
    """Return, in steps, the lists with these entries, which the removal guard does not judge."""
    draft = _Draft(lists, None, 0.0)
    for (name, entry), ends in zip(entries.items(), step_ends(entry.bonds for entry in entries.values()), strict=True):
        draft.wanted.put(name, entry)
        if ends:
            yield
    return (yield from draft.frozen())


def judge(
    lists: Lists, records: Sequence[ControlRecord], guard: RemovalGuard | None = None, now: float = 0.0
) -> Generator[None, None, tuple[Lists, list[tuple[str, Entry]]]]:
    """Return, in steps, the lists after `records`, and the refusals among them. Never raises.

    Each refusal is the name of the list, and the list's entry just after the refused record. The
    `guard` remembers the bonds desired before; without one, `lists` are all it knows.
    """
    draft = _Draft(lists, guard, now)
    for record, ends in zip(records, step_ends(map(_most_bonds, records)), strict=True):
        if (name := list_name(record.key)) is not None:
            draft.judge(name, record, wish_of(name, record))
        if ends:
            yield
    return (yield from draft.frozen()), draft.refused


def restore(
    previous: Lists, records: Iterable[ControlRecord], guard: RemovalGuard | None = None, now: float = 0.0
) -> Generator[None, None, Lists]:
    """Return, in steps, the lists after a complete reading of the control topic. Never raises.

    `previous` has the lists that were in force before the reading. The records that led to
    `previous` are not judged again. Of the newer records of a list, at most three are judged: the
    latest, the latest readable one, and the latest one with `confirm_removal` before the readable
    one. So it hardly matters how far the topic was compacted.
    A list of `previous` that is absent from the topic is removed, unless its removal was held back
    before. The removal guard judges all these removals together.
    Where only the latest of several records that ask for the same is judged, its timestamp is the
    time of the request.
    """
    by_name: defaultdict[str, list[ControlRecord]] = defaultdict(list)
    for record in records:
        if (name := list_name(record.key)) is not None:
            by_name[name].append(record)
    draft = _Draft(previous, guard, now)
    new: list[tuple[str, ControlRecord, Wish | Refusal | None]] = []
    bonds = (sum(map(_most_bonds, history)) for history in by_name.values())
    for (name, history), ends in zip(by_name.items(), step_ends(bonds), strict=True):
        before = previous.entries.get(name)
        if before is not None and before.in_force is not None:
            draft.wanted.put(name, replace(before, in_force=with_record_time(before.in_force, history)))
        new += [(name, record, wish) for record, wish in to_judge(name, before, history)]
        if ends:
            yield
    new.sort(key=lambda each: each[1].position)
    for (name, record, wish), ends in zip(new, step_ends(_most_bonds(record) for _, record, _ in new), strict=True):
        draft.judge(name, record, wish)
        if ends:
            yield
    draft.remove_absent([name for name in previous.entries if name not in by_name])
    return (yield from draft.frozen())


def _requested_at(before: InForce | None, wish: Wish, timestamp_ms: int) -> int:
    """Return since when a list asks for what it asks for, in microseconds since 1970 UTC.

    To write the same again must not cost a list its place among others of the same priority.
    """
    if wish.requested_at is not None:
        return wish.requested_at
    if before is not None and before.wish.requested_at is None and before.wish.asks_for == wish.asks_for:
        return before.requested_at
    return timestamp_ms * 1000


def _most_bonds(record: ControlRecord) -> int:
    return len(record.value or b"") // BOND_BYTES


class _Draft:
    """Lists that are being changed. They are copied once, however many records change them."""

    def __init__(self, lists: Lists, guard: RemovalGuard | None, now: float) -> None:
        self._guard = guard or RemovalGuard(len(lists.desired), now)
        self._now = now
        self.wanted = Wanted(lists)
        self.refused: list[tuple[str, Entry]] = []

    def frozen(self) -> Generator[None, None, Lists]:
        """Return the changed lists, computed in steps."""
        desired, named_by = yield from self.wanted.finish()
        return Lists(MappingProxyType(self.wanted.entries), MappingProxyType(desired), MappingProxyType(named_by))

    def judge(self, name: str, record: ControlRecord, wish: Wish | Refusal | None) -> None:
        """Judge one record of a list; `wish` is its parsed value, or None for a tombstone."""
        before = self.wanted.count
        self.wanted.put(name, entry := self._judged(name, record, wish))
        if isinstance(wish, Wish) and wish.confirm_removal and self.wanted.count < before:
            self._guard.confirm(self.wanted.count, self._now)
        self._guard.note(self.wanted.count, self._now)
        if entry is not None and entry.refusal is not None:
            self.refused.append((name, entry))

    def _judged(self, name: str, record: ControlRecord, wish: Wish | Refusal | None) -> Entry | None:
        before = self.wanted.entries.get(name)
        in_force = before.in_force if before else None
        if refusal := wish.reason if isinstance(wish, Refusal) else self._refusal(in_force, wish):
            return Entry(in_force, record.position, refusal)
        if not isinstance(wish, Wish):
            return None
        at = _requested_at(in_force, wish, record.timestamp_ms)
        return Entry(InForce(wish, at, record.position), record.position)

    def _refusal(self, before: InForce | None, after: Wish | None) -> str | None:
        """Return why a list's content may not become `after`, or None if it may."""
        total = self._count_after(before, after)
        if total > max(MAX_DESIRED, self.wanted.count):
            return f"{TOO_MANY} {total}: at most {MAX_DESIRED} are allowed over all lists; shorten or pause a list"
        if after is not None and after.confirm_removal:
            return None
        return self._guard.refusal(self.wanted.count, total, self._now, TOMBSTONE if after is None else VALUE)

    def remove_absent(self, names: list[str]) -> None:
        """Remove lists that are absent from the topic, unless the guard holds the removal back."""
        absent = [name for name in names if not is_held_back(self.wanted.entries[name].refusal)]
        leaving: defaultdict[str, int] = defaultdict(int)
        for name in absent:
            for isin in active(self.wanted.entries[name].in_force):
                leaving[isin] += 1
        dropped = sum(1 for isin, count in leaving.items() if count == self.wanted.wanted_by(isin))
        guarded = self._guard.refusal(self.wanted.count, self.wanted.count - dropped, self._now, ABSENCE)
        for name in absent:
            self.wanted.put(name, replace(self.wanted.entries[name], refusal=guarded) if guarded else None)
        self._guard.note(self.wanted.count, self._now)

    def _count_after(self, before: InForce | None, after: Wish | None) -> int:
        """Return how many bonds would be desired if one list changed like this."""
        old, new = active(before), frozenset(() if after is None else after.wanted)
        dropped = sum(1 for isin in old - new if self.wanted.wanted_by(isin) == 1)
        added = sum(1 for isin in new - old if not self.wanted.wanted_by(isin))
        return self.wanted.count + added - dropped
