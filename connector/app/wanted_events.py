"""Tells which bonds became wanted or unwanted, no faster than Kafka takes the events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from connector.core.status import Standings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from connector.core.status import Record
    from connector.shell.topics.events import EventTopic

AT_ONCE: Final = 100  # changed records that are looked at in one turn of the loop


class WantedEvents:
    """Compares the status records with what was told, and publishes the difference.

    Nothing is told before `restore`, because only the status topic says what an earlier run told.
    """

    def __init__(self, topic: EventTopic) -> None:
        self._topic = topic
        self._standings = Standings()
        self._records: Mapping[str, Record] = {}
        self._is_ours: Callable[[str], bool] = lambda _: False
        self._changed = asyncio.Event()
        self._has_begun = asyncio.Event()

    def restore(self, known: Mapping[str, Record], is_ours: Callable[[str], bool]) -> None:
        """Take what the status topic says for told: at first of all, later of others' bonds."""
        is_first = not self._has_begun.is_set()
        self._standings.assume({key: record for key, record in known.items() if is_first or not is_ours(key)})
        self._has_begun.set()

    def assume(self, records: Mapping[str, Record | None]) -> None:
        """Record that another replica wrote these records, and told what they say."""
        self._standings.assume(records)

    def note(
        self, records: Mapping[str, Record], changed: Iterable[str], is_ours: Callable[[str], bool], at: str
    ) -> None:
        """Record which of the records changed, and at what time (RFC 3339)."""
        self._records, self._is_ours = records, is_ours
        self._standings.note(changed, at)
        self._changed.set()

    async def run(self) -> None:
        """Publish events until cancelled."""
        await self._has_begun.wait()
        while True:
            await self._changed.wait()
            self._changed.clear()
            for _ in range(0, self._standings.changed, AT_ONCE):
                await self._topic.room()
                self.publish_some()
                await asyncio.sleep(0)

    def publish_some(self) -> None:
        """Publish some of the events at once."""
        if self._has_begun.is_set():
            for event in self._standings.events(self._records, self._is_ours, AT_ONCE):
                self._topic.publish(event)
