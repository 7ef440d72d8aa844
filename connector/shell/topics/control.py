"""Keeps the lists that the control topic states, by a complete reading and each later record."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from connector.core.lists import subscription
from connector.core.lists.desired import newly_asked
from connector.core.lists.removal_guard import RemovalGuard
from connector.core.lists.subscription import ControlRecord, Lists, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from connector.core.lists.subscription import Entry

log = structlog.get_logger("connector.control_topic")


class ControlTopic:
    """Judges the control topic's records, and holds the lists in force.

    `lists` is None until the topic is read or saved lists are used. `previous` returns the lists
    that were in force before the first reading: those of the status topic, or else the saved ones.
    `on_change` gets the lists, and the bonds that are asked for anew, because KIS may have refused
    those bonds before. `ignored` counts the records with a key that names no list.
    """

    def __init__(
        self, previous: Callable[[], Generator[None, None, Lists]], on_change: Callable[[Lists, frozenset[str]], None]
    ) -> None:
        self._previous = previous
        self._on_change = on_change
        self.lists: Lists | None = None
        self.is_read = False
        self.ignored = 0
        self._guard: RemovalGuard | None = None

    def use_saved(self, saved: Lists) -> None:
        """Use the lists saved by an earlier run, unless the topic has been read."""
        if self.lists is None:
            self.lists = saved
            self._on_change(saved, frozenset())

    def snapshot(self, records: Sequence[Any]) -> Generator[None, None, None]:
        """Judge a first or repeated reading of the whole topic against the lists in force."""
        before = self.lists if self.is_read and self.lists is not None else (yield from self._previous())
        now = monotonic()
        self._guard = self._guard or RemovalGuard(len(before.desired), now)
        after = yield from subscription.restore_in_steps(before, self._read(records), self._guard, now)
        new = [
            (name, entry)
            for name, entry in after.entries.items()
            if not self.is_read or entry is not before.entries.get(name)
        ]
        self._put_in_force(before, after, [(name, entry) for name, entry in new if entry.refusal is not None])
        self.is_read = True

    def follow(self, records: Sequence[Any]) -> Generator[None, None, None]:
        """Judge, in their order and in steps, the records that follow the reading."""
        before = self.lists or Lists()
        steps = subscription.judge_in_steps(before, self._read(records), self._guard, monotonic())
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
        self._on_change(after, newly_asked(before, after))


def _describe_in_force(entry: Entry) -> str:
    if entry.in_force is None:
        return "nothing: the list has no good content"
    return f"the {len(entry.in_force.wish.instruments)} instruments of offset {entry.in_force.control.offset}"
