"""A thread that runs one call after another for the event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class Worker(Executor):
    """A daemon thread, so that the process can end while a call hangs."""

    def __init__(self, name: str) -> None:
        self._calls = queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread takes calls."""
        return self._thread.is_alive()

    def run(self, call: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run a call after those before it; return its future result."""
        return asyncio.get_running_loop().run_in_executor(self, call, *args)

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call, as `run_in_executor` asks."""
        future = Future[Any]()
        self._calls.put((future, lambda: call(*args, **kwargs)))
        return future

    def stop(self) -> None:
        """End the thread after the calls that wait."""
        self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - whoever awaits the future gets it
                    future.set_exception(error)
            del item, future, call  # while the thread waits, it keeps no frames in memory
