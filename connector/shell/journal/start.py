"""What a start does on the disk, on a thread of its own, because a disk may hang."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from connector.shell.journal.trouble import SLOW_SECONDS
from connector.shell.worker import Worker

T = TypeVar("T")


class Unopened(Exception):
    """A stop was asked for while the start waited for the journal.

    `held_by` is the other process that holds it. If that is None, the disk was waited for.
    """

    def __init__(self, held_by: str | None = None) -> None:
        super().__init__(held_by)
        self.held_by = held_by


class Start:
    """One start, which goes on until it has ended or `stop` is set."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._worker = Worker("journal-opener")

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Return what the function returns; raise Unopened as `wait` does."""
        return await self.wait(self._worker.run(function, *args))

    async def wait(self, ending: asyncio.Future[T]) -> T:
        """Return the result; raise Unopened a second after a stop if there is none."""
        asked: asyncio.Future[Any] = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([ending, asked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        await asyncio.wait([ending], timeout=SLOW_SECONDS)
        if not ending.done():
            ending.cancel()
            raise Unopened
        return ending.result()

    async def pause(self, seconds: float, held_by: str | None = None) -> None:
        """Wait so long. Raises Unopened if a stop is asked for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
            raise Unopened(held_by)

    async def close(self, function: Callable[[], None]) -> None:
        """Call the function after a call that may hang, and wait a second for both."""
        closed: asyncio.Future[None] = self._worker.run(function)
        closed.add_done_callback(asyncio.Future.exception)  # what cannot be closed is not needed any more
        await asyncio.wait([closed], timeout=SLOW_SECONDS)

    def end(self) -> None:
        """End the thread as soon as its calls have ended."""
        self._worker.stop()
