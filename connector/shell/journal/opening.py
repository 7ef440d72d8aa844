"""Opens the folder of a journal, as soon as no other process holds it."""

import time
from pathlib import Path
from typing import Final

import structlog

from connector.errors import JournalUnusable
from connector.shell.journal import segment
from connector.shell.journal.folder import Folder
from connector.shell.journal.place import Place, place
from connector.shell.journal.recovery import Recovered, look, recover
from connector.shell.journal.segment import Unreadable
from connector.shell.journal.start import Start
from connector.shell.journal.trouble import RETRY_SECONDS

log = structlog.get_logger("connector.journal")

LOCK_SECONDS = 30.0  # a pod killed by force may still hold the lock
LOCK_POLL_SECONDS: Final = 0.2


async def open_folder(path: Path, start: Start) -> tuple[Place, Folder, Recovered]:
    """Return where the journal is, its locked folder, and what it holds.

    Waits up to LOCK_SECONDS while another process holds the folder, and up to UNREADABLE_SECONDS
    for a segment that the disk does not give. Raises JournalUnusable, and Unopened if a stop is
    asked for meanwhile, or while the disk hangs.
    """
    folder: Folder | None = None
    try:
        found = await start.call(place, path)
        folder = await start.call(Folder, found.folder)
        await _lock(folder, start)
        if folder.mode & 0o077:
            log.warning("journal_folder_open", path=str(folder.path), mode=f"{folder.mode:o}", fix="chmod 700")
        return found, folder, await _recover(folder, start)
    except BaseException as error:
        if folder:
            await start.close(folder.close)
        if isinstance(error, OSError) and not isinstance(error, JournalUnusable):
            raise JournalUnusable(
                f"The journal {path} could not be opened: {error}. Check journal.path and its volume."
            ) from error
        raise


async def _lock(folder: Folder, start: Start) -> None:
    until, is_told = time.monotonic() + LOCK_SECONDS, False
    while (holder := await start.call(folder.lock)) is not None:
        process = f"pid {holder}" if holder else "an unknown process"
        if time.monotonic() >= until:
            raise JournalUnusable(
                f"The journal {folder.path} is held by another instance ({process}). "
                "Stop that one, or give this one a journal.path of its own."
            )
        if not is_told:
            log.warning("journal_held", path=str(folder.path), by=process, waiting_seconds=LOCK_SECONDS)
            is_told = True
        await start.pause(LOCK_POLL_SECONDS, held_by=process)


async def _recover(folder: Folder, start: Start) -> Recovered:
    found, is_told = await start.call(look, folder), False
    while True:
        try:
            return await start.call(recover, folder, found)
        except Unreadable as error:
            if not is_told:
                waits = segment.UNREADABLE_SECONDS
                log.error("journal_unreadable", error=str(error), waiting_seconds=waits)  # noqa: TRY400 - one line
            is_told = True
            await start.pause(RETRY_SECONDS)
