"""Holds the lists as the control topic states them: a complete reading first, then record by record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from connector.core.lists import subscription
from connector.core.lists.subscription import ControlRecord, Lists, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from connector.core.lists.subscription import Entry

log = structlog.get_logger("connector.control_topic")


class ControlTopic:
    """The lists in force. Unknown is not empty: `lists` is None until the topic was read to its end or saved lists were put in use.

    `previous` tells what was in force before the first reading (the status topic's word, else the saved lists). `on_change` gets the lists,
    and the bonds that newly accepted records name, which KIS may have refused before. `ignored` counts records whose key names no list.
    """

    def __init__(self, previous: Callable[[], Lists], on_change: Callable[[Lists, frozenset[str]], None]) -> None:
        self._previous = previous
        self._on_change = on_change
        self.lists: Lists | None = None
        self.is_read = False
        self.ignored = 0

    def use_saved(self, saved: Lists) -> None:
        """Use the lists saved by an earlier run while the topic cannot be read; a reading that came first stays."""
        if self.lists is None:
            self.lists = saved
            self._on_change(saved, frozenset())

    def snapshot(self, records: Sequence[Any]) -> None:
        """Take a complete reading of the topic, the first or a repeated one, judged against what was in force before it."""
        before = self.lists if self.is_read and self.lists is not None else self._previous()
        after = subscription.restore(before, self._read(records))
        new = [
            (name, entry)
            for name, entry in after.entries.items()
            if not self.is_read or entry is not before.entries.get(name)
        ]
        self._settle(before, after, [(name, entry) for name, entry in new if entry.refusal is not None])
        self.is_read = True

    def follow(self, records: Sequence[Any]) -> None:
        """Take the records that came after the reading, in their order."""
        before = self.lists or Lists()
        self._settle(before, *subscription.judge_all(before, self._read(records)))

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
                    reason="its key names no list",
                )
            read.append(ControlRecord(record.key, record.value, position, record.timestamp_ms))
        return read

    def _settle(self, before: Lists, after: Lists, refused: Iterable[tuple[str, Entry]]) -> None:
        for name, entry in refused:
            log.warning(
                "control_record_refused", list=name, reason=entry.refusal, kept=_kept(entry), **entry.control._asdict()
            )
        named: set[str] = set()
        for name, entry in after.entries.items():
            if entry.refusal is None and entry.in_force is not None and entry != before.entries.get(name):
                named.update(entry.in_force.wish.instruments)
        self.lists = after
        self._on_change(after, frozenset(named))


def _kept(entry: Entry) -> str:
    if entry.in_force is None:
        return "nothing: the list has no good content"
    return f"the {len(entry.in_force.wish.instruments)} instruments of offset {entry.in_force.control.offset}"
