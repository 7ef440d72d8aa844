"""Sends part-filled batches of several lanes together, in one request to their broker."""

import asyncio

LINGER_SECONDS = 0.002  # how long a part-filled batch waits for those of other lanes


class Linger:
    """The next moment at which part-filled batches are sent."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait until LINGER_SECONDS after the first lane began to wait."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_later(LINGER_SECONDS, self._end, self._next)
        await asyncio.shield(self._next)

    def _end(self, moment: asyncio.Future[None]) -> None:
        self._next = None
        moment.set_result(None)
