"""Finds out which bonds became wanted or unwanted, or gained or lost a chance to be registered.

Whoever proves that no tick is missing learns from these events in which times a bond had none.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from connector.core.event import UNWANTED, WANTED, Event
from connector.core.record_keys import INSTRUMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from connector.core.status.records import Record

WITHOUT_REGISTRATION: Final = ("WAITING_CAPACITY", "REJECTED")


def standing(record: Record) -> str:
    """Return `unwanted`, `wanted`, or why a wanted bond is not registered: its state."""
    if not record.get("lists"):
        return UNWANTED
    return str(record["state"]) if record.get("state") in WITHOUT_REGISTRATION else WANTED


class Standings:
    """What the events said last of each bond, and which bonds may have changed since.

    Only the latest change of a bond is told, so that the memory stays bounded while Kafka is away.
    """

    def __init__(self) -> None:
        self._told: dict[str, str] = {}  # by key; a bond that is not there is unwanted
        self._changed: dict[str, str] = {}  # when a record changed, by key

    @property
    def changed(self) -> int:
        """The number of bonds of which `events` may have something to tell."""
        return len(self._changed)

    def assume(self, records: Mapping[str, Record | None]) -> None:
        """Record that another run or replica has told what these records say."""
        for key, record in records.items():
            if key.startswith(INSTRUMENT):
                self._changed.pop(key, None)
                self._note_told(key, standing(record or {}))

    def note(self, keys: Iterable[str], at: str) -> None:
        """Record that the records of these keys changed."""
        self._changed.update(dict.fromkeys((key for key in keys if key.startswith(INSTRUMENT)), at))

    def events(self, records: Mapping[str, Record], is_ours: Callable[[str], bool], most: int) -> list[Event]:
        """Return what changed of our bonds, from at most so many changed records.

        A bond that is not ours at present waits, because we may only be out of contact.
        """
        found: list[Event] = []
        for key in list(islice(self._changed, most)):
            at, record = self._changed.pop(key), records.get(key, {})
            if not is_ours(key):
                self._changed[key] = at
                continue
            if (what := standing(record)) == self._told.get(key, UNWANTED):
                continue
            self._note_told(key, what)
            kind: Literal["wanted", "unwanted"] = UNWANTED if what == UNWANTED else WANTED
            lists = record.get("lists")  # of a foreign record perhaps
            detail = {
                "state": None if what == UNWANTED else record.get("state"),
                "lists": list(lists) if isinstance(lists, list) else [],
            }
            found.append(Event(kind, at, record.get("slot"), key.removeprefix(INSTRUMENT), detail))
        return found

    def _note_told(self, key: str, what: str) -> None:
        self._told.pop(key, None)
        if what != UNWANTED:
            self._told[key] = what
