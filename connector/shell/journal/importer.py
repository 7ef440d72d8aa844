"""Takes over a journal of the earlier kind, an SQLite file."""

import contextlib
import fcntl
import sqlite3
import zlib
from collections.abc import Iterator
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
FRAMES: Final = "SELECT received_ns, slot, session, binary, raw, crc FROM frame WHERE seq > ? ORDER BY seq"
FLUSHED_FRAMES: Final = 4096


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


async def take_over(earlier: Path, journal: "Journal") -> None:
    """Append the file's pending frames, keys and texts, and rename it. Raises JournalUnusable."""
    frames, damaged = 0, 0
    held = Path(f"{earlier}.lock")
    with held.open("w") as lock, contextlib.closing(sqlite3.connect(earlier)) as database:  # noqa: ASYNC230 - nothing else runs yet
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalUnusable(f"The journal {earlier} is held by another instance. Stop that one.") from error
        for slot, session, key, iv in _rows(database, "SELECT slot, session, key, iv FROM cipher_key ORDER BY seq"):
            journal.keep_key(slot, session, CipherKey(key, iv))
        for name, text in _rows(database, "SELECT name, value FROM kept"):
            await journal.save(name, text)
        watermark = next(_rows(database, "SELECT value FROM progress WHERE name = 'watermark'"), (0,))[0]
        for received_ns, slot, session, binary, raw, crc in _rows(database, FRAMES, watermark):
            frame, frames = Received(received_ns, slot, session, bool(binary), raw), frames + 1
            if zlib.crc32(raw) == crc:
                journal.append(frame)
            else:
                journal.lose(frame, "corrupt")
                damaged += 1
            if frames % FLUSHED_FRAMES == 0:
                await journal.on_disk(60)
    if not await journal.on_disk(60):
        raise JournalUnusable(f"The journal {earlier} could not be taken over: {journal.write_error}.")
    _rename(earlier, f"{earlier}.imported")
    log.warning("journal_imported", file=f"{earlier}.imported", frames=frames, damaged=damaged)


def _is_earlier(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _rename(path: Path, new: str) -> None:
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{new}{suffix}")


def _rows(database: sqlite3.Connection, query: str, *values: int) -> Iterator[Any]:
    try:
        yield from database.execute(query, values)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        log.error("journal_import_unreadable", error=str(error))  # noqa: TRY400 - SQLite's text says it all
