"""Waits with a deadline, pauses between attempts, and lets other tasks have their turn."""

import asyncio
import contextlib
from collections.abc import Generator, Iterator
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

RETRY_MIN_SECONDS = 0.5
RETRY_MAX_SECONDS = 15.0
TURN_SECONDS = 0.005  # about the longest that a computation in steps holds up other tasks


async def within(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for the event for at most `seconds` (None: no limit), and return whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def raise_if_cancelled() -> None:
    """Raise CancelledError if the current task was cancelled.

    Whoever handles any error calls this before the next attempt. Kafka's client and Python 3.11's
    TaskGroup may raise an error in place of a cancellation, and the task would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def pauses() -> Iterator[float]:
    """Yield the seconds to wait after each failed attempt, doubled each time up to 15 s."""
    seconds = RETRY_MIN_SECONDS
    while True:
        yield seconds
        seconds = min(2 * seconds, RETRY_MAX_SECONDS)


async def in_turns(steps: Generator[None, None, T]) -> T:
    """Run a computation in steps, let other tasks run every TURN_SECONDS, and return the result."""
    ends_at = monotonic() + TURN_SECONDS
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if monotonic() >= ends_at:
            await asyncio.sleep(0)
            ends_at = monotonic() + TURN_SECONDS
