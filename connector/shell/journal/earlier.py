"""Finds and takes over a journal of the earlier kind, an SQLite file."""

import asyncio
import contextlib
import fcntl
import sqlite3
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable

if TYPE_CHECKING:
    from connector.shell.journal.journal import Journal

log = structlog.get_logger("connector.journal")

SQLITE: Final = b"SQLite format 3\0"
FRAMES: Final = "SELECT seq, crc, received_ns, slot, session, binary, raw FROM frame WHERE seq > ? ORDER BY seq LIMIT ?"
FLUSHED_FRAMES: Final = 4096
DAMAGE: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)  # the first: no such table


class Place(NamedTuple):
    """The journal's folder, and the file of the earlier kind to take over, or None."""

    folder: Path
    earlier: Path | None


def place(path: Path, *, is_trial: bool = False) -> Place:
    """Return where the journal is; a trial renames nothing.

    Raises OSError, and JournalUnusable if the path names a file that is no journal.
    """
    if path.is_file() and not _is_earlier(path):
        raise JournalUnusable(f"journal.path {path} is a file, and no journal. Set it to a folder.")
    if path.is_dir() or path.suffix != ".db":
        if path.is_file() and not is_trial:  # an earlier journal whose name the folder needs
            _rename(path, f"{path}.db")
        earlier = Path(f"{path}.db")
        return Place(path, earlier if _is_earlier(earlier) else None)
    log.warning("journal_path_is_a_folder", given=str(path), used=str(path.with_suffix("")), fix="leave out .db")
    return Place(path.with_suffix(""), path if path.is_file() else None)


def _is_earlier(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


async def take_over(earlier: Path, journal: "Journal") -> None:
    """Append the file's pending frames, keys and texts, and rename it. Raises JournalUnusable."""
    total = damaged = 0
    with (
        Path(f"{earlier}.lock").open("w") as lock,  # noqa: ASYNC230 - waits for nothing
        contextlib.closing(sqlite3.connect(earlier, check_same_thread=False)) as database,
    ):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalUnusable(f"The journal {earlier} is held by another instance. Stop that one.") from error
        rows = partial(_rows, earlier, database)
        for slot, session, key, iv in await rows("SELECT slot, session, key, iv FROM cipher_key ORDER BY seq"):
            journal.keep_key(slot, session, CipherKey(key, iv))
        for name, text in await rows("SELECT name, value FROM kept"):
            await journal.save(name, text)
        [(seq,)] = await rows("SELECT value FROM progress WHERE name = 'watermark'") or [(0,)]
        while True:
            found = await rows(FRAMES, seq, FLUSHED_FRAMES)
            for seq, crc, received_ns, slot, session, binary, raw in found:  # noqa: B007 - the next query needs it
                frame = Received(received_ns, slot, session, bool(binary), raw)
                if zlib.crc32(raw) == crc:
                    journal.append(frame)
                else:
                    journal.give_up(frame, "corrupt")
                    damaged += 1
            total += len(found)
            if not await journal.on_disk(60):
                raise JournalUnusable(f"The journal {earlier} could not be taken over: {journal.write_error}.")
            if len(found) < FLUSHED_FRAMES:
                break
    _rename(earlier, f"{earlier}.imported")
    log.warning("journal_imported", file=f"{earlier}.imported", frames=total, damaged=damaged)


async def _rows(earlier: Path, database: sqlite3.Connection, query: str, *values: int) -> list[Any]:
    """Return the rows, or those before damage."""
    rows: list[Any] = []
    try:
        await asyncio.to_thread(lambda: rows.extend(database.execute(query, values)))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in DAMAGE:  # such as a lock
            raise JournalUnusable(f"The journal {earlier} could not be read: {error}. Mend that, and start.") from error
        log.error("journal_import_unreadable", error=str(error))  # noqa: TRY400 - SQLite's text says it all
    return rows


def _rename(path: Path, new: str) -> None:
    """Rename an SQLite file and its log; the log comes first, so that it is never alone."""
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{new}{suffix}")
