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
from connector.shell.journal.earlier_names import held, refuse_successor, refuse_taken, rename
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
# The larger one counts, as damage may hide the end of the table.
LAST: Final = ("SELECT max(seq) FROM frame", "SELECT seq FROM sqlite_sequence WHERE name = 'frame'")
FRAMES: Final = """SELECT seq, crc, received_ns, slot, session, binary, raw FROM frame
  WHERE typeof(slot) = 'integer' AND slot BETWEEN 0 AND 65535 AND typeof(session) = 'integer' AND session >= 0
    AND typeof(received_ns) = 'integer' AND typeof(raw) = 'blob' AND seq > ? AND seq <= ? ORDER BY seq"""
TAKEN: Final = "earlier_taken"  # the name of a saved text: which file, and the last number that the log has
DAMAGE: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # the first: no such table
PART_BYTES: Final = 2**20  # so much of the file is in memory at once
PART_NUMBERS: Final = 1000  # so many are looked for, one by one, where rows cannot be read
ROW_BYTES: Final = 32  # of the shortest row


class Earlier:
    """The file, held from `open` to `close`; SQLite wants one thread for all calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = contextlib.ExitStack()
        self._is_damaged = False
        self.identity = ""
        self.close = self._opened.close

    def open(self) -> None:
        """Raise OSError, and JournalUnusable if the file is held, or cannot be taken over."""
        refuse_taken(imported(self._path))
        refuse_successor(self._path)
        self._opened.enter_context(held(self._path))
        database = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True)
        database.text_factory = lambda text: text.decode(errors="replace")  # one bad text hides no other
        self._database = self._opened.enter_context(contextlib.closing(database))
        self.identity = str(self._path.stat().st_ino)
        if self.rows(TABLES) != [(4,)]:
            raise JournalUnusable(
                f"{self._path} is no journal, or so damaged that SQLite cannot open it. "
                "Mend it, for instance by .recover of the program sqlite3, or move it elsewhere."
            )

    def rows(self, query: str, *values: int) -> list[Any]:
        """Return the rows, or those before damage. Raises JournalUnusable."""
        return self._read(query, *values)[0]

    def pending(self) -> tuple[int, int]:
        """Return the number up to which nothing is pending, and the last one given.

        Raises JournalUnusable if nobody can say how many frames are lost.
        """
        found = [self._read(query) for query in LAST]
        given = max((number for rows, _ in found for (number,) in rows if isinstance(number, int)), default=None)
        if given is None and any(is_damaged for _, is_damaged in found):
            raise _refusal(self._path, "the number of its last frame cannot be read")
        last = given or 0
        watermark = max((value for (value,) in self.rows(WATERMARK) if 0 <= value <= last), default=0)
        # A damaged number may be anything, but the rows have to fit in the file.
        return watermark, min(last, watermark + self._path.stat().st_size // ROW_BYTES)

    def frames(self, after: int, last: int) -> list[Any]:
        """Return rows of some PART_BYTES, or none if the next PART_NUMBERS cannot be read."""
        for searched in range(after, min(after + PART_NUMBERS, last)):
            if rows := self._read(FRAMES, searched, last, most_bytes=PART_BYTES)[0]:
                return rows
        return []

    def _read(self, query: str, *values: int, most_bytes: float = inf) -> tuple[list[Any], bool]:
        rows, size = list[Any](), 0
        try:
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
    return JournalUnusable(
        f"The journal {path} could not be taken over: {error}. No other program may use it, "
        "and this user has to be able to read it and to rename it. Mend that, and start."
    )


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
        await journal.save(TAKEN, "")
    except OSError as error:
        raise _refusal(path, error) from error
    log.warning("journal_imported", file=str(imported(path)), frames=frames, damaged=damaged)


def _begin(identity: str, text: str, watermark: int, last: int) -> int:
    """Return up to which number the file was taken over, by its watermark and the saved text."""
    file, _, taken = text.partition(" ")
    is_number = taken.isascii() and taken.isdecimal() and len(taken) <= len(str(last))
    if file == identity and is_number and watermark <= int(taken) <= last:
        return int(taken)
    return watermark


async def _append_frames(earlier: Earlier, journal: "Journal", start: Start) -> tuple[int, int]:
    """Return how many frames were appended, and how many were damaged."""
    watermark, last = await start.call(earlier.pending)
    seq = first = _begin(earlier.identity, await journal.saved(TAKEN) or "", watermark, last)
    frames, full = 0, journal.lost.get("journal_full", 0)
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
            seq = min(seq + PART_NUMBERS, last)
            journal.miss(seq - before)
        if not await start.wait(asyncio.ensure_future(journal.on_disk(60))):
            raise OSError(journal.write_error)
        if journal.lost.get("journal_full", 0) > full:
            raise OSError("it does not fit in journal.max_bytes")
        await journal.save(TAKEN, f"{earlier.identity} {seq}")
        await start.pause(0)
    return frames, last - first - frames
