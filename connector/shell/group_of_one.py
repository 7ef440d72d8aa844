"""The group of a standalone connector, which shares its app keys with nobody."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from connector.shell.kafka.waiting import within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# If another connector writes the status records of a standalone one, they overwrite each other's
# records at most this often.
HEARTBEAT_SECONDS: Final = 10.0


class GroupOfOne:
    """The group of a connector that shares its slots with nobody.

    It has the methods and figures of `SlotGroup`, and confirms its member by its own clock.
    """

    problem = unusable = difference = clash = None

    def __init__(
        self,
        limits: Mapping[int, int],
        *,
        on_assigned: Callable[[frozenset[int]], None],
        on_heard: Callable[[float], None],
    ) -> None:
        self.limits = limits
        self._on_assigned = on_assigned
        self._on_heard = on_heard
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Assign every slot to the member, and confirm it until `leave` or cancellation."""
        self._on_assigned(frozenset(self.limits))
        while not await within(self._leaving, HEARTBEAT_SECONDS):
            self._on_heard(time.monotonic())

    async def leave(self) -> None:
        """Leave at once."""
        self._leaving.set()
