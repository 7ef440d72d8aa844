"""Opens the folder of a journal, as soon as no other process holds it."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from connector.errors import JournalUnusable
from connector.shell.journal import segment
from connector.shell.journal.earlier import Place, place
from connector.shell.journal.folder import Folder
from connector.shell.journal.recovery import Recovered, look, recover
from connector.shell.journal.segment import Unreadable
from connector.shell.journal.trouble import RETRY_SECONDS, SLOW_SECONDS
from connector.shell.worker import Worker

log = structlog.get_logger("connector.journal")

LOCK_SECONDS = 30.0  # a pod killed by force may still hold the lock
LOCK_POLL_SECONDS: Final = 0.2


class Unopened(Exception):
    """A stop was asked for while the start waited for the journal.

    `held_by` is the other process that holds it. If that is None, the disk was waited for.
    """

    def __init__(self, held_by: str | None = None) -> None:
        super().__init__(held_by)
        self.held_by = held_by


async def open_folder(path: Path, stop: asyncio.Event) -> tuple[Place, Folder, Recovered]:
    """Return where the journal is, its locked folder, and what it holds.

    Waits up to LOCK_SECONDS while another process holds the folder, and up to UNREADABLE_SECONDS
    for a segment that the disk does not give. Raises JournalUnusable, and Unopened if `stop` is set
    meanwhile, or while the disk hangs.
    """
    folder: Folder | None = None
    worker = Worker("journal-opener")
    call = partial(_call, worker, stop)
    try:
        found = await call(place, path)
        folder = await call(Folder, found.folder)
        await _lock(folder, call, stop)
        if folder.mode & 0o077:
            log.warning("journal_folder_open", path=str(folder.path), mode=f"{folder.mode:o}", fix="chmod 700")
        return found, folder, await _recover(folder, call, stop)
    except BaseException as error:
        if folder:  # by the same thread, because a call that hangs may still use it
            await asyncio.wait([worker.run(folder.close)], timeout=SLOW_SECONDS)
        if isinstance(error, OSError):
            raise JournalUnusable(
                f"The journal {path} could not be opened: {error}. Check journal.path and its volume."
            ) from error
        raise
    finally:
        worker.stop()


async def _call(worker: Worker, stop: asyncio.Event, function: Callable[..., Any], *args: Any) -> Any:
    """Return what the function returns; raise Unopened if it hangs while a stop is asked for."""
    made, asked = worker.run(function, *args), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([made, asked], return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
    await asyncio.wait([made], timeout=SLOW_SECONDS)
    if not made.done():
        raise Unopened
    return made.result()


async def _lock(folder: Folder, call: Callable[..., Awaitable[Any]], stop: asyncio.Event) -> None:
    until, is_told = time.monotonic() + LOCK_SECONDS, False
    while (holder := await call(folder.lock)) is not None:
        process = f"pid {holder}" if holder else "an unknown process"
        if time.monotonic() >= until:
            raise JournalUnusable(
                f"The journal {folder.path} is held by another instance ({process}). "
                "Stop that one, or give this one a journal.path of its own."
            )
        if not is_told:
            log.warning("journal_held", path=str(folder.path), by=process, waiting_seconds=LOCK_SECONDS)
            is_told = True
        await _pause(LOCK_POLL_SECONDS, stop, held_by=process)


async def _recover(folder: Folder, call: Callable[..., Awaitable[Any]], stop: asyncio.Event) -> Recovered:
    found, is_told = await call(look, folder), False
    while True:
        try:
            recovered: Recovered = await call(recover, folder, found)
        except Unreadable as error:
            if not is_told:
                waits = segment.UNREADABLE_SECONDS
                log.error("journal_unreadable", error=str(error), waiting_seconds=waits)  # noqa: TRY400 - one line
            is_told = True
            await _pause(RETRY_SECONDS, stop)
        else:
            return recovered


async def _pause(seconds: float, stop: asyncio.Event, held_by: str | None = None) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
        raise Unopened(held_by)
