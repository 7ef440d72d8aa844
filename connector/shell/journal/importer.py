"""Takes over a journal of the earlier kind, an SQLite file."""

import contextlib
import fcntl
import sqlite3
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable
from connector.shell.journal.place import rename

if TYPE_CHECKING:
    from connector.shell.journal.journal import Journal

log = structlog.get_logger("connector.journal")

FRAMES: Final = "SELECT received_ns, slot, session, binary, raw, crc FROM frame WHERE seq > ? ORDER BY seq"
FLUSHED_FRAMES: Final = 4096
DAMAGE: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # the first: no such table


async def take_over(earlier: Path, journal: "Journal") -> None:
    """Append the file's pending frames, keys and texts, and rename it. Raises JournalUnusable."""
    frames, damaged = 0, 0
    held = Path(f"{earlier}.lock")
    with held.open("w") as lock, contextlib.closing(sqlite3.connect(earlier)) as database:  # noqa: ASYNC230 - nothing else runs yet
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalUnusable(f"The journal {earlier} is held by another instance. Stop that one.") from error
        rows = partial(_rows, earlier, database)
        for slot, session, key, iv in rows("SELECT slot, session, key, iv FROM cipher_key ORDER BY seq"):
            journal.keep_key(slot, session, CipherKey(key, iv))
        for name, text in rows("SELECT name, value FROM kept"):
            await journal.save(name, text)
        watermark = next(rows("SELECT value FROM progress WHERE name = 'watermark'"), (0,))[0]
        for received_ns, slot, session, binary, raw, crc in rows(FRAMES, watermark):
            frame, frames = Received(received_ns, slot, session, bool(binary), raw), frames + 1
            if zlib.crc32(raw) == crc:
                journal.append(frame)
            else:
                journal.give_up(frame, "corrupt")
                damaged += 1
            if frames % FLUSHED_FRAMES == 0:
                await _on_disk(earlier, journal)
    await _on_disk(earlier, journal)
    rename(earlier, f"{earlier}.imported")
    log.warning("journal_imported", file=f"{earlier}.imported", frames=frames, damaged=damaged)


async def _on_disk(earlier: Path, journal: "Journal") -> None:
    if not await journal.on_disk(60):
        raise JournalUnusable(f"The journal {earlier} could not be taken over: {journal.write_error}.")


def _rows(earlier: Path, database: sqlite3.Connection, query: str, *values: int) -> Iterator[Any]:
    try:
        yield from database.execute(query, values)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in DAMAGE:  # such as a lock
            raise JournalUnusable(f"The journal {earlier} could not be read: {error}. Mend that, and start.") from error
        log.error("journal_import_unreadable", error=str(error))  # noqa: TRY400 - SQLite's text says it all
