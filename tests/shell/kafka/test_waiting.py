"""Waiting with a deadline, and the pauses between attempts."""

import asyncio
from itertools import islice

from connector.shell.kafka.waiting import TURN_SECONDS, in_turns, pauses, within


async def test_waiting_ends_with_the_event_or_the_deadline():
    """Waiting returns whether the event is set, and lasts no longer than allowed."""
    event = asyncio.Event()
    assert not await within(event, 0.01)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await within(event, 60)
    assert await within(event, None)


def test_pauses_double_up_to_a_limit():
    """Each pause is twice the last, and none is longer than 15 s."""
    assert list(islice(pauses(), 7)) == [0.5, 1, 2, 4, 8, 15, 15]


async def test_others_get_a_turn_between_the_steps_of_a_long_computation(monkeypatch):
    """After some time of a computation in steps, the loop runs what is ready."""
    order, clock = [], [0.0]
    monkeypatch.setattr("connector.shell.kafka.waiting.monotonic", lambda: clock[0])

    def computation():
        for step in range(6):
            order.append(step)
            asyncio.get_running_loop().call_soon(order.append, "other")
            clock[0] += 0.6 * TURN_SECONDS
            yield
        return "result"

    assert await in_turns(computation()) == "result"
    assert order == [0, 1, "other", "other", 2, 3, "other", "other", 4, 5, "other", "other"]
