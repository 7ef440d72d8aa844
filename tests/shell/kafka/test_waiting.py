"""Waiting with a deadline, and the pauses between attempts."""

import asyncio
from itertools import islice

from connector.shell.kafka.waiting import pauses, within


async def test_waiting_ends_with_the_event_or_the_deadline():
    """Waiting returns whether the event is set, and lasts no longer than allowed."""
    event = asyncio.Event()
    assert not await within(event, 0.01)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await within(event, 60)


def test_pauses_double_up_to_a_limit():
    """Each pause is twice the last, and none is longer than 15 s."""
    assert list(islice(pauses(), 7)) == [0.5, 1, 2, 4, 8, 15, 15]
