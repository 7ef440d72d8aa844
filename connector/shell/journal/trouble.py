"""Notes what the disk does not do at present."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import structlog

log = structlog.get_logger("connector.journal")

SLOW_SECONDS = 1.0  # a call that takes longer counts as failing
RETRY_SECONDS = 0.5
WRITING: Final = ("write", "prune")  # the calls of the writing thread


class Trouble:
    """`problems` says by call what does not work; `is_hanging` is true while a writing call hangs.

    `changed` is set whenever there may be more to read: while the disk fails, from memory.
    """

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}
        self.is_hanging = False
        self.changed = asyncio.Event()

    def note(self, call: str, problem: str) -> None:
        """Note a problem, and log it if it is new."""
        if call not in self.problems:
            log.error("journal_write_failed", call=call, error=problem, kept_in="memory")
        self.problems[call] = problem
        self.changed.set()

    def end(self, call: str) -> None:
        """Note that a call works."""
        if self.problems.pop(call, None) and not self.problems:
            log.warning("journal_write_recovered")

    @contextlib.contextmanager
    def watched(self, call: str) -> Iterator[None]:
        """Note the problem if the call fails or takes too long; note its end if it works."""
        try:
            with self.timed(call):
                yield
        except OSError as error:
            self.note(call, str(error))
        else:
            self.end(call)

    @contextlib.contextmanager
    def timed(self, call: str) -> Iterator[None]:
        """Note the problem if the call takes too long."""
        started = time.monotonic()
        timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._note_slow, call)
        try:
            yield
        finally:
            timer.cancel()
            self.is_hanging = self.is_hanging and call not in WRITING
            if (seconds := time.monotonic() - started) > SLOW_SECONDS:
                log.warning("journal_disk_slow", call=call, seconds=round(seconds, 1))

    def _note_slow(self, call: str) -> None:
        self.is_hanging = self.is_hanging or call in WRITING
        self.note(call, f"a {call} has taken over {SLOW_SECONDS:g} s")

    async def for_ever(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step; tell of any exception that it did not expect, and go on."""
        while True:
            try:
                await step()
            except Exception as error:
                log.exception("journal_bug")
                self.note(step.__name__, f"{type(error).__name__}: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.end(step.__name__)
