"""An event loop in virtual time: no waiting, no threads, and the same history each time."""

import asyncio
from contextlib import contextmanager

import pytest

from connector.shell.worker import Worker


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock jumps to the next timer as soon as nothing else is ready."""

    def __init__(self):
        super().__init__()
        self._now = 0.0
        select = self._selector.select

        def at_once(timeout=None):
            if timeout:
                self._now += timeout
            return select(0 if timeout is None or timeout > 0 else timeout)

        self._selector.select = at_once

    def time(self):
        """Return virtual seconds."""
        return self._now

    def run_in_executor(self, executor, func, *args):
        """Call the function at once, in this thread."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as a thread would hand it over
            done.set_exception(error)
        return done


@contextmanager
def workers_at_once():
    """Have workers, such as the journal's, make their calls at once, in the loop's thread."""

    def run(_, call, *args, then=None, patience=0):
        done = asyncio.get_running_loop().create_future()
        try:
            done.set_result(call(*args))
            if then is not None:
                then()
        except Exception as error:  # noqa: BLE001 - as a thread would hand it over
            done.set_exception(error)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Worker, "run", run)
        yield
