"""Bounds on time by the clock that a busy machine does not exceed."""

import time

TRIES = 3


async def is_within(seconds, attempt):
    """Whether one of three attempts returns less: noise only adds, so the least one counts."""
    for _ in range(TRIES):
        if await attempt() < seconds:
            return True
    return False


async def seconds_of(awaitable):
    """Return how long something takes to be done."""
    since = time.monotonic()
    await awaitable
    return time.monotonic() - since
