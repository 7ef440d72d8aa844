"""Keeps the lists that the control topic states, by a complete reading and each later record."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from connector.core.lists import saved_lists, subscription
from connector.core.lists.desired import newly_asked
from connector.core.lists.reading import TOO_LARGE
from connector.core.lists.removal_guard import RemovalGuard
from connector.core.lists.subscription import ControlRecord, Entry, Lists, Position
from connector.core.record_keys import LIST
from connector.core.steps import finished

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

log = structlog.get_logger("connector.control_topic")


class ControlTopic:
    """Judges the control topic's records, and holds the lists in force.

    `lists` is None until the topic is read or saved lists are used. `previous` returns the lists
    that were in force before the first reading: those of the status topic, or else the saved ones.
    `on_change` gets the bonds that are asked for anew, because KIS may have refused those bonds
    before. `ignored` counts the records with a key that names no list.
    """

    def __init__(
        self, previous: Callable[[], Generator[None, None, Lists]], on_change: Callable[[frozenset[str]], None]
    ) -> None:
        self._previous = previous
        self._on_change = on_change
        self.lists: Lists | None = None
        self.is_read = False
        self.ignored = 0
        self._guard: RemovalGuard | None = None
        self._is_judging = False
        self._late_refusals: dict[str, Entry] = {}

    def use_saved(self, saved: Lists) -> None:
        """Use the lists saved by an earlier run, unless the topic has been read."""
        if self.lists is None:
            self.lists = saved
            self._on_change(frozenset())

    def snapshot(self, records: Sequence[Any]) -> Generator[None, None, None]:
        """Judge a first or repeated reading of the whole topic against the lists in force."""
        yield from self._judged(self._snapshot(records))

    def _snapshot(self, records: Sequence[Any]) -> Generator[None, None, None]:
        before = self.lists if self.is_read and self.lists is not None else (yield from self._previous())
        now = monotonic()
        self._guard = self._guard or RemovalGuard(len(before.desired), now)
        after = yield from subscription.restore(before, self._read(records), self._guard, now)
        new = [
            (name, entry)
            for name, entry in after.entries.items()
            if not self.is_read or entry is not before.entries.get(name)
        ]
        self._put_in_force(before, after, [(name, entry) for name, entry in new if entry.refusal is not None])
        self.is_read = True

    def follow(self, records: Sequence[Any]) -> Generator[None, None, None]:
        """Judge, in their order and in steps, the records that follow the reading."""
        yield from self._judged(self._follow(records))

    def refuse_unreported(self, key: str, report: object, before: object) -> None:
        """Refuse a list whose status record Kafka does not take: readers would not know of it.

        `key` and `report` are that record's, and `before` is the record that the topic holds.
        """
        name = key.removeprefix(LIST)
        entry = saved_lists.entry_of(name, report) if key.startswith(LIST) else None
        if entry is not None and entry.refusal is None:
            known = saved_lists.entry_of(name, before)
            self.refuse(name, Entry(known.in_force if known else None, entry.control, TOO_LARGE))

    def follow_refusal(self, key: str, report: object) -> None:
        """Refuse what the replica that reports on the lists could not report, so that all agree."""
        name = key.removeprefix(LIST)
        entry = saved_lists.entry_of(name, report) if key.startswith(LIST) else None
        if entry is not None and entry.refusal == TOO_LARGE:
            self.refuse(name, entry)

    def refuse(self, name: str, entry: Entry) -> None:
        """Refuse a list's latest record although it was accepted, because it cannot be reported.

        `entry` has the reason, and the content that stays in force. If there is a later record by
        now, nothing happens.
        """
        self._late_refusals[name] = entry
        if not self._is_judging:
            self._refuse_late()

    def _judged(self, steps: Generator[None, None, None]) -> Generator[None, None, None]:
        self._is_judging = True
        try:
            yield from steps
        finally:
            self._is_judging = False
        self._refuse_late()

    def _refuse_late(self) -> None:
        while self._late_refusals and (before := self.lists) is not None:
            name, entry = self._late_refusals.popitem()
            accepted = before.entries.get(name)
            if accepted is not None and accepted.control == entry.control and accepted.refusal is None:
                after = finished(subscription.with_entries(before, {name: entry}))
                if self._guard is not None:
                    self._guard.confirm(len(after.desired), monotonic())
                self._put_in_force(before, after, [(name, entry)])

    def _follow(self, records: Sequence[Any]) -> Generator[None, None, None]:
        before = self.lists or Lists()
        steps = subscription.judge(before, self._read(records), self._guard, monotonic())
        after, refused = yield from steps
        self._put_in_force(before, after, refused)

    def _read(self, records: Sequence[Any]) -> list[ControlRecord]:
        read = []
        for record in records:
            position = Position(record.partition, record.offset)
            if subscription.list_name(record.key) is None:
                self.ignored += 1
                log.warning(
                    "control_record_ignored",
                    partition=position.partition,
                    offset=position.offset,
                    reason=subscription.NO_LIST_NAME,
                )
            read.append(ControlRecord(record.key, record.value, position, record.timestamp_ms))
        return read

    def _put_in_force(self, before: Lists, after: Lists, refused: Iterable[tuple[str, Entry]]) -> None:
        for name, entry in refused:
            log.warning(
                "control_record_refused",
                list=name,
                reason=entry.refusal,
                kept=_describe_in_force(entry),
                **entry.control._asdict(),
            )
        self.lists = after
        self._on_change(newly_asked(before, after))


def _describe_in_force(entry: Entry) -> str:
    if entry.in_force is None:
        return "nothing: the list has no good content"
    return f"the {len(entry.in_force.wish.instruments)} instruments of offset {entry.in_force.control.offset}"
