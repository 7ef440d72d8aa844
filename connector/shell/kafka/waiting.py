"""Waits with a deadline, and the pauses between attempts."""

import asyncio
import contextlib
from collections.abc import Iterator

RETRY_MIN_SECONDS = 0.5
RETRY_MAX_SECONDS = 15.0


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event for at most `seconds`, and return whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def pauses() -> Iterator[float]:
    """Yield the seconds to wait after each failed attempt: each twice the last, up to 15 s."""
    seconds = RETRY_MIN_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, RETRY_MAX_SECONDS)
