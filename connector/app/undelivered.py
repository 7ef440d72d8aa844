"""Says in the slots' status records how many frames are undelivered, and at once when none is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from connector.core.record_keys import SLOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from connector.core.status import Record
    from connector.shell.journal import Journal


class Undelivered:
    """Counts the undelivered frames of this replica for its status records.

    `drained` waits until every frame up to a number is delivered. `changed` asks for a round.
    """

    def __init__(self, journal: Journal, drained: Callable[[int], Awaitable[None]], changed: asyncio.Event) -> None:
        self._journal = journal
        self._drained = drained
        self._changed = changed
        self._is_awaited = asyncio.Event()
        self._was_drained = False

    def count(self) -> int:
        """Return the number of undelivered frames.

        Return 0 once after everything that was received before was delivered: while ticks arrive,
        a newer frame is nearly always on its way.
        """
        was_drained, self._was_drained = self._was_drained, False
        return 0 if was_drained else self._journal.pending

    def note_written(self, records: Mapping[str, Record], slots: Iterable[int]) -> None:
        """Wait for the end of the delivery if a record says that frames are undelivered."""
        if any(records.get(f"{SLOT}{slot}", {}).get("pending") for slot in slots):
            self._is_awaited.set()

    async def run(self) -> None:
        """Ask for a round when all frames are delivered, until cancelled."""
        while True:
            await self._is_awaited.wait()
            await self._drained(self._journal.last_seq)
            self._is_awaited.clear()
            self._was_drained = True
            self._changed.set()
