"""A worker runs calls in order on a thread of its own, and survives them."""

import asyncio
import threading

import pytest

from connector.shell.worker import Worker


@pytest.fixture
def worker():
    """Return a worker."""
    made = Worker("test-worker")
    yield made
    made.stop()


async def test_calls_run_one_after_another(worker):
    """Results come back in order, from the worker's thread."""
    order = []
    await asyncio.gather(*(worker.run(order.append, number) for number in range(100)))
    assert order == list(range(100))
    assert (await worker.run(threading.current_thread)).name == "test-worker"


async def test_an_exception_reaches_the_caller_alone(worker):
    """A call that raises, whatever it is, does not end the thread."""
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        await worker.run(lambda: (_ for _ in ()).throw(SystemExit))
    assert worker.is_alive
    assert await worker.run(len, "abc") == 3


async def test_a_cancelled_call_that_waits_is_not_run(worker):
    """Nobody wants the result of a call that had not begun."""
    gate, ran = threading.Event(), []
    first = worker.run(gate.wait)
    second = worker.run(ran.append, 1)
    second.cancel()
    await asyncio.sleep(0)
    gate.set()
    await first
    await worker.run(len, "")
    assert ran == []


async def test_what_follows_a_call_comes_before_its_result(worker):
    """`then` is called in the loop before whoever waits goes on, and only if the call succeeds."""
    order = []

    async def wait():
        order.append(await worker.run(len, "abc", then=lambda: order.append(threading.current_thread())))

    await wait()
    assert order == [threading.main_thread(), 3]
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0, then=lambda: order.append("then"))
    with pytest.raises(ZeroDivisionError):
        await worker.run(len, "", then=lambda: 1 // 0)
    cancelled = worker.run(len, "", then=lambda: order.append("then"))
    cancelled.cancel()
    assert await worker.run(len, "ab") == 2
    assert order == [threading.main_thread(), 3]


async def test_the_loop_is_not_woken_for_a_call_that_ends_within_the_patience(worker, monkeypatch):
    """After a quick call the future is done at once, and `then` was called once."""
    woken, order = [], []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_soon_threadsafe", lambda *call: woken.append(call))
    done = worker.run(len, "abc", then=lambda: order.append("then"), patience=60)
    assert (done.done(), done.result(), order) == (True, 3, ["then"])
    failed = worker.run(lambda: 1 // 0, then=lambda: order.append("then"), patience=60)
    assert isinstance(failed.exception(), ZeroDivisionError)
    assert (order, woken) == (["then"], [])


async def test_a_call_that_takes_longer_than_the_patience_comes_later(worker):
    """The loop goes on without it, and gets its result once, however close it ended."""
    gate, order = threading.Event(), []
    late = worker.run(gate.wait, 60, then=lambda: order.append("then"), patience=0.001)
    assert not late.done()
    gate.set()
    assert await late
    assert order == ["then"]
    for _ in range(200):  # some end just when the patience does
        await worker.run(order.append, "call", then=lambda: order.append("then"), patience=1e-6)
    await asyncio.sleep(0)
    assert order == ["then", *["call", "then"] * 200]


async def test_a_call_that_outlives_its_loop_ends_the_thread_quietly(worker):
    """A call may hang for longer than the loop lives."""
    gate = threading.Event()

    async def hang():
        worker.run(gate.wait)

    await asyncio.to_thread(asyncio.run, hang())
    gate.set()
    assert await worker.run(len, "abc") == 3


async def test_it_ends_after_the_calls_that_wait():
    """A stopped worker runs what was queued, and ends; a process can end while it hangs."""
    worker = Worker("test-worker")
    last = worker.run(len, "abc")
    worker.stop()
    assert await last == 3
    await asyncio.to_thread(worker._thread.join, 5)
    assert not worker.is_alive
    assert worker._thread.daemon
