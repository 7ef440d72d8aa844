"""Lets lanes whose batch is not full leave together, so that one request takes all their batches to a broker."""

import asyncio

LINGER_SECONDS = 0.005  # a batch that is not full waits for company, at most so long


class Linger:
    """The next moment at which batches that are not full leave."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait for company: until LINGER_SECONDS after the first lane began to."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_later(LINGER_SECONDS, self._leave, self._next)
        await asyncio.shield(self._next)

    def _leave(self, leaving: asyncio.Future[None]) -> None:
        self._next = None
        leaving.set_result(None)
