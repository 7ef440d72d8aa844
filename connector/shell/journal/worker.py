"""A thread that runs one call after another for the event loop."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_Call = tuple[asyncio.Future[Any], Callable[[], None] | None, Callable[..., Any], tuple[Any, ...]]


class Worker:
    """A daemon thread, so that the process can end while a call hangs."""

    def __init__(self, name: str) -> None:
        self._calls = queue.SimpleQueue[_Call | None]()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread takes calls."""
        return self._thread.is_alive()

    def run(self, call: Callable[..., T], *args: Any, then: Callable[[], None] | None = None) -> asyncio.Future[T]:
        """Run a call after those before it; return its future result.

        If the future is cancelled before its turn, the call is not made. If the call succeeds,
        `then` is called in the loop, a turn before anybody gets the result.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((future, then, call, args))
        return future

    def stop(self) -> None:
        """End the thread after the calls that wait."""
        self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, then, call, args = item
            if not future.cancelled():
                result = error = None
                try:
                    result = call(*args)
                except BaseException as raised:  # noqa: BLE001 - whoever awaits the future gets it
                    error = raised
                with contextlib.suppress(RuntimeError):  # the loop was closed while the call hung
                    future.get_loop().call_soon_threadsafe(_settle, future, then, result, error)
                del result, error
            del item, future, then, call, args  # while the thread waits, it keeps no frames in memory


def _settle(future: asyncio.Future[T], then: Callable[[], None] | None, result: T, error: BaseException | None) -> None:
    if future.cancelled():
        return
    try:
        if error is None and then is not None:
            then()
    except BaseException as raised:  # noqa: BLE001 - it belongs to the call
        error = raised
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
