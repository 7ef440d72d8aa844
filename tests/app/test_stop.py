"""How to ask for a stop."""

import asyncio
import os
import signal

from connector.app.stop import Stop
from connector.errors import CredentialsRefused


async def test_the_first_reason_counts():
    """A second call keeps the first reason and does not make the stop urgent."""
    stop = Stop()
    stop.ask("one")
    stop.refuse(CredentialsRefused("EGW00103"))
    assert (stop.reason, stop.is_asked.is_set(), stop.is_urgent.is_set()) == ("one", True, False)
    assert str(stop.refusal) == "EGW00103"


async def test_a_second_signal_makes_the_stop_urgent():
    """The first signal asks for an orderly stop, the second one ends that."""
    stop = Stop()
    with stop.on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.is_asked.wait(), 30)
        assert (stop.reason, stop.is_urgent.is_set()) == ("SIGTERM", False)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.is_urgent.wait(), 30)
    assert stop.reason == "SIGTERM"


async def test_signal_handlers_are_restored():
    """After the block the earlier handlers are in place again."""
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        stop = Stop()
        with stop.on_signals():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
        assert not stop.is_asked.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
