"""Tells when the tick topic's number of partitions is not the one by which ticks are written."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from connector.shell.kafka.waiting import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from connector.shell.delivery import Delivery
    from connector.shell.journal import Journal

LOOK_SECONDS: Final = 30.0
SAVED_AS: Final = "tick-partitions"
_SAVED: Final = re.compile(r"(?P<topic>.+)/(?P<number>[0-9]{1,9})")

log = structlog.get_logger("connector.app")


class Tell(Protocol):
    """Publishes that a topic has `after` partitions, and whether ticks are written by that."""

    def __call__(self, topic: str, before: int, after: int, *, adopted: bool) -> None:
        """Publish it."""


class PartitionWatch:
    """Looks at the tick topic every LOOK_SECONDS while the connector runs.

    Delivery keeps the number of partitions it began with, because with another number a bond may
    change its partition. If `adopts` is true, it takes over a greater number at once. A start
    always takes over the number it finds; that of the last run is kept beside the journal. A topic
    that lost partitions was made again: the ticks of the missing ones wait for a restart.
    """

    def __init__(  # noqa: PLR0913 - each is used
        self,
        topic: str,
        delivery: Delivery,
        journal: Journal,
        leaders: Callable[[], Awaitable[Mapping[str, Mapping[int, Any]]]],
        tell: Tell,
        *,
        adopts: bool,
    ) -> None:
        self._topic = topic
        self._delivery = delivery
        self._journal = journal
        self._leaders = leaders
        self._tell = tell
        self._adopts = adopts
        self._told = 0  # the number that was found and told last

    async def run(self) -> None:
        """Tell each change, until cancelled."""
        await self._delivery.has_lanes.wait()
        saved = _SAVED.fullmatch(await self._journal.saved(SAVED_AS) or "")
        in_use = self._delivery.tick_partitions
        if saved and saved["topic"] == self._topic and (before := int(saved["number"])) != in_use:
            self._say(before, in_use, adopted=True)
        await self._keep(in_use)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Compare the topic with the number in use; tell a difference once, or take it over."""
        try:
            await self._compare()
        except Exception as error:  # noqa: BLE001 - a bug of Kafka's client must not end the connector
            raise_if_cancelled()
            log.debug("partitions_not_looked_at", cause=type(error).__name__, error=str(error))

    async def _compare(self) -> None:
        in_use, found = self._delivery.tick_partitions, len((await self._leaders())[self._topic])
        if not found:
            return
        if self._adopts and found > in_use and await self._delivery.adopt_partitions():
            found = self._delivery.tick_partitions
            self._say(in_use, found, adopted=True)
            await self._keep(found)
        elif found not in {in_use, self._told}:
            self._say(in_use, found, adopted=False)
        self._told = found

    def _say(self, before: int, after: int, *, adopted: bool) -> None:
        log.warning("partitions_changed", topic=self._topic, before=before, after=after, adopted=adopted)
        self._tell(self._topic, before, after, adopted=adopted)

    async def _keep(self, number: int) -> None:
        await self._journal.save(SAVED_AS, f"{self._topic}/{number}")
