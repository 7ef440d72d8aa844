"""A thread that runs one call after another for the event loop."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _Call:
    """A call on its way; `ended` is locked until the call has ended."""

    __slots__ = ("args", "call", "ended", "error", "future", "is_left", "result", "then")

    def __init__(
        self,
        future: asyncio.Future[Any],
        then: Callable[[], None] | None,
        call: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self.future = future
        self.then = then
        self.call = call
        self.args = args
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended = threading.Lock()
        self.ended.acquire()
        self.is_left = False  # true once nobody waits for `ended`

    def make(self) -> None:
        """Make the call, unless its future was cancelled."""
        if not self.future.cancelled():
            try:
                self.result = self.call(*self.args)
            except BaseException as raised:  # noqa: BLE001 - whoever awaits the future gets it
                self.error = raised
        self.ended.release()

    def leave(self) -> bool:
        """Have the thread wake the loop; return whether the call has ended just before."""
        self.is_left = True
        return self.ended.acquire(blocking=False)

    def settle(self) -> None:
        """Give the future its result. Only the first time does anything."""
        if self.future.done():
            return
        try:
            if self.error is None and self.then is not None:
                self.then()
        except BaseException as raised:  # noqa: BLE001 - it belongs to the call
            self.error = raised
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


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

    def run(
        self, call: Callable[..., T], *args: Any, then: Callable[[], None] | None = None, patience: float = 0
    ) -> asyncio.Future[T]:
        """Run a call after those before it; return its future result.

        If the future is cancelled before its turn, the call is not made. If the call succeeds,
        `then` is called in the loop, before anybody gets the result.

        The loop's thread waits up to `patience` seconds for the call. If it has ended by then, the
        future is done, and the loop need not be woken for it.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        item = _Call(future, then, call, args)
        item.is_left = not patience
        self._calls.put(item)
        if patience and (item.ended.acquire(timeout=patience) or item.leave()):
            item.settle()
        return future

    def stop(self) -> None:
        """End the thread after the calls that wait."""
        self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            item.make()
            if item.is_left:
                with contextlib.suppress(RuntimeError):  # the loop was closed while the call hung
                    item.future.get_loop().call_soon_threadsafe(item.settle)
            del item  # while the thread waits, it keeps no frames in memory
