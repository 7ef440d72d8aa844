"""Applies control records to the named lists of bonds, and computes which bonds are desired.

A record is accepted or refused as a whole. If a record is refused, the last accepted content of its
list stays in force. The desired bonds are the union of all lists that are not paused. The removal
guard compares how many bonds are desired after a record with the most within the last minutes.
`restore` judges a complete reading of the control topic against the lists that were in force before
the reading.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from connector.core.lists.control_record import MAX_KEY_CHARACTERS, Refusal, Wish
from connector.core.lists.desired import Desired, Wanted
from connector.core.lists.reading import TOO_MANY, to_judge, wish_of, with_record_time
from connector.core.lists.removal_guard import ABSENCE, TOMBSTONE, VALUE, RemovalGuard, is_held_back

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

# Korea has some ten thousand listed bonds, and one app key carries 41 of them.
MAX_DESIRED: Final = 20_000
NO_LIST_NAME: Final = (
    f"its key names no list: the key is missing, not UTF-8 or longer than {MAX_KEY_CHARACTERS} characters"
)


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


@dataclass(frozen=True, slots=True)
class Lists:
    """All lists by name, and what follows from them.

    `desired` has the desired bonds by ISIN, ordered by priority (higher first), then by time of the
    request, then by ISIN. A desired bond that did not change stays the same object.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    desired: Mapping[str, Desired] = field(default_factory=dict, repr=False)


def list_name(key: bytes | None) -> str | None:
    """Return the list that a record's key names, or None as `NO_LIST_NAME` says.

    A record without a list name changes nothing.
    """
    with suppress(UnicodeDecodeError):
        if key is not None and len(name := key.decode()) <= MAX_KEY_CHARACTERS:
            return name
    return None


def with_entries(lists: Lists, entries: Mapping[str, Entry]) -> Generator[None, None, Lists]:
    """Return, in steps, the lists with these entries, which the removal guard does not judge."""
    wanted = Wanted(lists)
    for name, entry in entries.items():
        wanted.put(name, entry)
        yield
    return (yield from wanted.finish())


def judge(
    lists: Lists, records: Sequence[ControlRecord], guard: RemovalGuard | None = None, now: float = 0.0
) -> Generator[None, None, tuple[Lists, list[tuple[str, Entry]]]]:
    """Return, in steps, the lists after `records`, and the refusals among them. Never raises.

    Each refusal is the name of the list, and the list's entry just after the refused record. The
    `guard` remembers the bonds desired before; without one, `lists` are all it knows.
    """
    draft = _Draft(lists, guard, now)
    for record in records:
        if (name := list_name(record.key)) is not None:
            draft.judge(name, record, wish_of(name, record))
        yield
    return (yield from draft.wanted.finish()), draft.refused


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
    for name, history in by_name.items():
        before = previous.entries.get(name)
        if before is not None and before.in_force is not None:
            draft.wanted.put(name, replace(before, in_force=with_record_time(before.in_force, history)))
        new += [(name, record, wish) for record, wish in to_judge(name, before, history)]
        yield
    for name, record, wish in sorted(new, key=lambda each: each[1].position):
        draft.judge(name, record, wish)
        yield
    draft.remove_absent([name for name in previous.entries if name not in by_name])
    return (yield from draft.wanted.finish())


def _accepted(before: InForce | None, wish: Wish, record: ControlRecord) -> Entry:
    """Return the list with the content of an accepted record.

    To write the same again must not cost a list its place among others of the same priority. So
    the list keeps the time of the first request, unless the value names a time.
    """
    if wish.requested_at is not None:
        at = wish.requested_at
    elif before and before.wish.requested_at is None and before.wish.asks_for == wish.asks_for:
        at = before.requested_at
    else:
        at = record.timestamp_ms * 1000
    return Entry(InForce(wish, at, record.position), record.position)


class _Draft:
    """Lists that are being changed. They are copied once, however many records change them."""

    def __init__(self, lists: Lists, guard: RemovalGuard | None, now: float) -> None:
        self._guard = guard or RemovalGuard(len(lists.desired), now)
        self._now = now
        self.wanted = Wanted(lists)
        self.refused: list[tuple[str, Entry]] = []

    def judge(self, name: str, record: ControlRecord, wish: Wish | Refusal | None) -> None:
        """Judge one record of a list; `wish` is its parsed value, or None for a tombstone.

        The list is changed first. If that is refused, the content that was in force is put back.
        """
        before, count = self.wanted.entries.get(name), self.wanted.count
        in_force = before.in_force if before else None
        if isinstance(wish, Refusal):
            reason: str | None = wish.reason
        else:
            self.wanted.put(name, None if wish is None else _accepted(in_force, wish, record))
            reason = self._refusal(count, wish)
        if reason is not None:
            entry = Entry(in_force, record.position, reason)
            self.wanted.put(name, entry)
            self.refused.append((name, entry))
        elif isinstance(wish, Wish) and wish.confirm_removal and self.wanted.count < count:
            self._guard.confirm(self.wanted.count, self._now)
        self._guard.note(self.wanted.count, self._now)

    def _refusal(self, before: int, wish: Wish | None) -> str | None:
        """Return why a change that was made is refused, or None if it is accepted.

        `before` is the number of desired bonds before the change.
        """
        total = self.wanted.count
        if total > max(MAX_DESIRED, before):
            return f"{TOO_MANY} {total}: at most {MAX_DESIRED} are allowed over all lists; shorten or pause a list"
        if wish is not None and wish.confirm_removal:
            return None
        return self._guard.refusal(before, total, self._now, TOMBSTONE if wish is None else VALUE)

    def remove_absent(self, names: Iterable[str]) -> None:
        """Remove lists that are absent from the topic, unless the guard holds the removal back."""
        entries = self.wanted.entries
        absent = {name: entries[name] for name in names if not is_held_back(entries[name].refusal)}
        before = self.wanted.count
        for name in absent:
            self.wanted.put(name, None)
        if guarded := self._guard.refusal(before, self.wanted.count, self._now, ABSENCE):
            for name, entry in absent.items():
                self.wanted.put(name, replace(entry, refusal=guarded))
        self._guard.note(self.wanted.count, self._now)
