"""Takes over a journal of the earlier kind, an SQLite file."""

import asyncio
import contextlib
import sqlite3
import sys
import zlib
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable
from connector.shell.journal.place import held, refuse_successor, refuse_taken, rename
from connector.shell.journal.start import Start

if TYPE_CHECKING:
    from connector.shell.journal.journal import Journal

log = structlog.get_logger("connector.journal")

TABLES: Final = "SELECT count(*) FROM sqlite_schema WHERE name IN ('frame', 'cipher_key', 'progress', 'kept')"
# A damaged row may hold anything, as SQLite checks types only when a row is written.
KEYS: Final = """SELECT slot, session, key, iv FROM cipher_key
  WHERE typeof(slot) = 'integer' AND slot BETWEEN 0 AND 65535 AND typeof(session) = 'integer' AND session >= 0
    AND typeof(key) = 'text' AND typeof(iv) = 'text' ORDER BY seq"""
TEXTS: Final = "SELECT name, value FROM kept WHERE typeof(name) = 'text' AND typeof(value) = 'text'"
WATERMARK: Final = "SELECT value FROM progress WHERE name = 'watermark' AND typeof(value) = 'integer'"
# The second counts also if the end of the table cannot be read.
LAST: Final = ("SELECT max(seq) FROM frame", "SELECT seq FROM sqlite_sequence WHERE name = 'frame'")
FRAMES: Final = """SELECT seq, crc, received_ns, slot, session, binary, raw FROM frame
  WHERE typeof(slot) = 'integer' AND slot BETWEEN 0 AND 65535 AND typeof(session) = 'integer' AND session >= 0
    AND typeof(received_ns) = 'integer' AND typeof(raw) = 'blob' AND seq > ? AND seq <= ? ORDER BY seq"""
SETTLED: Final = "INSERT OR REPLACE INTO progress VALUES ('watermark', ?)"
DAMAGE: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # the first: no such table
PART_BYTES: Final = 2**20  # so much of the file is in memory at once


class Earlier:
    """The file, held from `open` to `close`; SQLite wants one thread for all calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = contextlib.ExitStack()
        self._is_damaged = False
        self.close = self._opened.close

    def open(self) -> None:
        """Raise OSError, and JournalUnusable if the file is held, or cannot be taken over."""
        refuse_taken(imported(self._path))
        refuse_successor(self._path)
        self._opened.enter_context(held(self._path))
        database = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True)
        self._database = self._opened.enter_context(contextlib.closing(database))
        if self.rows(TABLES) != [(4,)]:
            raise JournalUnusable(f"{self._path} is no journal, or one that is damaged throughout. Move it elsewhere.")

    def rows(self, query: str, *values: int) -> list[Any]:
        """Return the rows, or those before damage. Raises JournalUnusable."""
        return self._read(query, *values)[0]

    def pending(self) -> tuple[int, int]:
        """Return the number up to which nothing is pending, and the last one given."""
        watermark = max((value for (value,) in self.rows(WATERMARK)), default=0)
        given = next((number for query in LAST for (number,) in self.rows(query) if isinstance(number, int)), 0)
        # A damaged number may be anything, but a file has fewer frames than bytes.
        watermark = watermark if watermark <= given else 0
        return watermark, min(given, watermark + self._path.stat().st_size)

    def frames(self, after: int, last: int) -> list[Any]:
        """Return rows of some PART_BYTES, at least one if there is any that can be read."""
        rows, is_damaged = list[Any](), True
        while not rows and is_damaged and after < last:
            rows, is_damaged = self._read(FRAMES, after, last, most_bytes=PART_BYTES)
            after += 1
        return rows

    def _read(self, query: str, *values: int, most_bytes: float = inf) -> tuple[list[Any], bool]:
        rows, size = list[Any](), 0
        try:
            with self._database:
                for row in self._database.execute(query, values):
                    rows.append(row)
                    size += sys.getsizeof(row[-1])
                    if size > most_bytes:
                        break
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in DAMAGE:  # such as a lock
                raise _refusal(self._path, error) from error
            if not self._is_damaged:
                log.error("journal_import_unreadable", error=str(error))  # noqa: TRY400 - SQLite's text says it all
            self._is_damaged = True
            return rows, True
        return rows, False


def imported(path: Path) -> Path:
    """Return the file's name after it was taken over."""
    return Path(f"{path}.imported")


def _refusal(path: Path, error: object) -> JournalUnusable:
    return JournalUnusable(f"The journal {path} could not be taken over: {error}. Mend that, and start.")


async def take_over(path: Path, journal: "Journal", start: Start) -> None:
    """Append the file's pending frames, keys and texts, and rename it.

    Who held the folder before may have done so meanwhile; then there is nothing to do.
    A number without a readable frame is lost as `corrupt`. After a stop, the next start goes on
    where this one ended; after a kill, at most a part before. Raises JournalUnusable, and Unopened
    if a stop is asked for.
    """
    earlier = Earlier(path)
    try:
        if not await start.call(path.exists):
            return
        try:
            await start.call(earlier.open)
            for slot, session, key, iv in await start.call(earlier.rows, KEYS):
                journal.keep_key(slot, session, CipherKey(key, iv))
            for name, text in await start.call(earlier.rows, TEXTS):
                await journal.save(name, text)
            frames, damaged = await _append_frames(earlier, journal, start)
        finally:
            await start.close(earlier.close)
        await start.call(rename, path, imported(path))
    except OSError as error:
        raise _refusal(path, error) from error
    log.warning("journal_imported", file=str(imported(path)), frames=frames, damaged=damaged)


async def _append_frames(earlier: Earlier, journal: "Journal", start: Start) -> tuple[int, int]:
    """Return how many frames were appended, and how many were damaged."""
    watermark, last = await start.call(earlier.pending)
    seq, frames, full = watermark, 0, journal.lost.get("journal_full", 0)
    await start.call(earlier.rows, SETTLED, seq)  # before the first frame: the file has to take this note
    while seq < last:
        before = seq
        for number, crc, received_ns, slot, session, binary, raw in await start.call(earlier.frames, seq, last):
            if number <= seq:  # the tree is damaged
                continue
            journal.miss(number - seq - 1)
            frame, seq = Received(received_ns, slot, session, bool(binary), raw), number
            if zlib.crc32(raw) == crc:
                journal.append(frame)
                frames += 1
            else:
                journal.give_up(frame, "corrupt")
        if seq == before:
            journal.miss(last - seq)
            seq = last
        if not await start.wait(asyncio.ensure_future(journal.on_disk(60))):
            raise OSError(journal.write_error)
        if journal.lost.get("journal_full", 0) > full:
            raise OSError("it does not fit in journal.max_bytes")
        await start.call(earlier.rows, SETTLED, seq)
        await start.pause(0)
    return frames, last - watermark - frames
