"""Takes over a journal of the earlier kind, an SQLite file."""

import asyncio
import contextlib
import fcntl
import sqlite3
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable
from connector.shell.journal.place import rename
from connector.shell.journal.start import Start

if TYPE_CHECKING:
    from connector.shell.journal.journal import Journal

log = structlog.get_logger("connector.journal")

KEYS: Final = "SELECT slot, session, key, iv FROM cipher_key ORDER BY seq"
TEXTS: Final = "SELECT name, value FROM kept"
WATERMARK: Final = "SELECT value FROM progress WHERE name = 'watermark'"
FRAMES: Final = "SELECT seq, crc, received_ns, slot, session, binary, raw FROM frame WHERE seq > ? ORDER BY seq LIMIT ?"
FLUSHED_FRAMES: Final = 4096
SETTLED: Final = "INSERT OR REPLACE INTO progress VALUES ('watermark', ?)"
DAMAGE: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # the first: no such table


class Earlier:
    """The file, held by its lock from `open` to `close`; SQLite wants one thread for all calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = contextlib.ExitStack()
        self.close = self._opened.close

    def open(self) -> None:
        """Raise JournalUnusable if another process holds the file, and OSError."""
        lock = self._opened.enter_context(Path(f"{self._path}.lock").open("w"))  # noqa: SIM115 - `close` does
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalUnusable(f"The journal {self._path} is held by another instance. Stop that one.") from error
        self._database = self._opened.enter_context(contextlib.closing(sqlite3.connect(self._path)))

    def rows(self, query: str, *values: int) -> list[Any]:
        """Return the rows, or those before damage. Raises JournalUnusable."""
        rows: list[Any] = []
        try:
            rows.extend(self._database.execute(query, values))
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in DAMAGE:  # such as a lock
                text = f"The journal {self._path} could not be read: {error}. Mend that, and start."
                raise JournalUnusable(text) from error
            log.error("journal_import_unreadable", error=str(error))  # noqa: TRY400 - SQLite's text says it all
        return rows

    def settle(self, seq: int) -> None:
        """Note in the file that its frames up to number `seq` are in the log."""
        with contextlib.suppress(sqlite3.Error), self._database:  # the next start may append them again
            self._database.execute(SETTLED, (seq,))


async def take_over(path: Path, journal: "Journal", start: Start) -> None:
    """Append the file's pending frames, keys and texts, and rename it.

    After a stop, the next start goes on where this one ended; after a kill, at most a part before.
    Raises JournalUnusable, OSError, and Unopened if a stop is asked for.
    """
    earlier, total, damaged = Earlier(path), 0, 0
    try:
        await start.call(earlier.open)
        for slot, session, key, iv in await start.call(earlier.rows, KEYS):
            journal.keep_key(slot, session, CipherKey(key, iv))
        for name, text in await start.call(earlier.rows, TEXTS):
            await journal.save(name, text)
        [(seq,)] = await start.call(earlier.rows, WATERMARK) or [(0,)]
        while True:
            found = await start.call(earlier.rows, FRAMES, seq, FLUSHED_FRAMES)
            for seq, crc, received_ns, slot, session, binary, raw in found:  # noqa: B007 - the next query needs it
                frame = Received(received_ns, slot, session, bool(binary), raw)
                if zlib.crc32(raw) == crc:
                    journal.append(frame)
                else:
                    journal.give_up(frame, "corrupt")
                    damaged += 1
            total += len(found)
            if not await start.wait(asyncio.ensure_future(journal.on_disk(60))):
                raise JournalUnusable(f"The journal {path} could not be taken over: {journal.write_error}.")
            await start.call(earlier.settle, seq)
            if len(found) < FLUSHED_FRAMES:
                break
            await start.pause(0)
    finally:
        await start.close(earlier.close)
    await start.call(rename, path, f"{path}.imported")
    log.warning("journal_imported", file=f"{path}.imported", frames=total, damaged=damaged)
