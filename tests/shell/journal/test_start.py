"""A start waits for a disk, but not after a stop."""

import asyncio
import gc
import threading

import pytest

from connector.shell.journal import Unopened
from connector.shell.journal import start as module
from connector.shell.journal.start import Start


@pytest.fixture
async def unheard():
    """Return the failures that asyncio tells of because nobody awaited them."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


@pytest.fixture
def stop():
    """Return what asks for a stop."""
    return asyncio.Event()


@pytest.fixture
def start(stop):
    """Return a start."""
    made = Start(stop)
    yield made
    made.end()


async def test_calls_give_what_they_return_even_after_a_stop(start, stop):
    """A call that ends is none to wait for."""
    assert await start.call(len, "abc") == 3
    stop.set()
    assert await start.call(len, "abcd") == 4
    with pytest.raises(ZeroDivisionError):
        await start.call(divmod, 1, 0)


async def test_a_call_that_hangs_is_left_after_a_stop(start, stop, monkeypatch, unheard):
    """Nobody hears of its end, nor of its failure; what it uses is closed after it."""
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.05)
    ends, order = threading.Event(), []

    def hang():
        ends.wait()
        order.append("ended")
        raise OSError("too late")

    call = asyncio.create_task(start.call(hang))
    await asyncio.sleep(0)
    stop.set()
    with pytest.raises(Unopened) as raised:
        await call
    assert raised.value.held_by is None
    await start.close(lambda: order.append("closed"))
    assert order == []
    ends.set()
    await start.close(lambda: order.append("closed again"))
    assert order == ["ended", "closed", "closed again"]
    del call, raised
    gc.collect()
    assert unheard == []


async def test_what_cannot_be_closed_is_left(start, unheard):
    """Nobody hears of it: the process ends, or has what it wants."""
    await start.close(lambda: 1 // 0)
    gc.collect()
    assert unheard == []


async def test_a_pause_ends_at_a_stop_that_names_the_holder(start, stop):
    """However short the pause, a stop that was asked for before is seen."""
    await start.pause(0)
    stop.set()
    for seconds in (0, 60):
        with pytest.raises(Unopened) as raised:
            await start.pause(seconds, held_by="pid 7")
        assert raised.value.held_by == "pid 7"
