"""An event loop in virtual time: no waiting, no threads, and the same history each time."""

import asyncio


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
