"""The journal's SQLite file. Every method may touch the disk, so none runs on the event loop."""

import contextlib
import errno
import fcntl
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Self

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable
from connector.shell.journal import file_names
from connector.shell.journal.salvage import Salvage, salvage

SCHEMA_VERSION = 1  # PRAGMA user_version
SCHEMA = """
CREATE TABLE frame (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- a plain rowid starts again at 1 once the table is empty
  received_ns INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  session INTEGER NOT NULL,               -- wall clock in ns at which the frame's socket opened
  binary INTEGER NOT NULL,
  crc INTEGER NOT NULL,                   -- CRC-32 of raw: SQLite's pages carry no checksum of their own
  raw BLOB NOT NULL
) STRICT;
CREATE TABLE cipher_key (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  slot INTEGER NOT NULL,
  session INTEGER NOT NULL,
  key TEXT NOT NULL,
  iv TEXT NOT NULL
) STRICT;
CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
CHECKED_AT_OPEN_BYTES = 4 * 2**20  # a larger file is checked in full while frames are captured
CHECK_STEPS = 10_000  # SQLite's virtual machine steps between two looks at `_is_closing`
CLEAN = "closed_cleanly"
KNOWN_DAMAGED = -1  # marks a row that was counted as lost; no CRC-32 is negative
UNFIT = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
ROWS_A_STATEMENT = 512  # each statement hands the interpreter lock over once; a row binds seven values
PRUNED_ROWS = 2000  # deleting this many rows takes the writer a few milliseconds

_Statement = tuple[str, Sequence[int | str | bytes]]


class Block(NamedTuple):
    """Frames with consecutive numbers from `first_seq` on."""

    first_seq: int
    frames: Sequence[Received]

    @property
    def last_seq(self) -> int:
        """The number of the last frame, or `first_seq - 1` in an empty block."""
        return self.first_seq + len(self.frames) - 1


class SessionKey(NamedTuple):
    """A cipher key with the session it belongs to."""

    slot: int
    session: int
    key: CipherKey


def is_unfit(error: Exception) -> bool:
    """Whether the error forbids writing the file again: the file is damaged, or its I/O failed."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in UNFIT


class JournalFile:
    """One open journal with a writing and a reading connection in WAL mode; one process holds it.

    `salvage` says what was copied from an unfit file, if this file replaces one. `was_clean` is
    true if the last process closed the file, or if the file is new. `given_up` holds the numbers
    above the watermark that had no readable frame when the file was opened.
    """

    def __init__(
        self, path: Path, lock: int, salvaged: Salvage | None = None, predecessors: Sequence["JournalFile"] = ()
    ) -> None:
        self.path = path
        self.salvage = salvaged
        self._lock = lock
        self._predecessors = predecessors
        self._writer = _connect(path)
        self._reader = _connect(path)
        self._writer.execute("DELETE FROM cipher_key WHERE (slot, session) NOT IN (SELECT slot, session FROM frame)")
        self._highest = self.last_seq()
        self.was_clean = salvaged is not None or self.saved(CLEAN) == "yes" or self._highest == 0
        self.save(CLEAN, "no")
        self.given_up = self._missing()
        self._is_found_sound = self.was_clean
        self._is_closing = False
        self._checking = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Take the lock and open the file; create a missing file, and replace a corrupt one.

        Raises JournalUnusable if the folder or the file is not writable, if another instance holds
        the journal, or if a newer version wrote the file.
        """
        lock = _take_lock(path)
        try:
            file_names.promote_successor(path)
            return cls(path, lock, _ensure_sound(path))
        except (OSError, sqlite3.Error) as error:
            os.close(lock)
            raise JournalUnusable(
                f"The journal {path} could not be opened: {error}. Check journal.path and its volume."
            ) from error
        except BaseException:
            os.close(lock)
            raise

    def replaced(self, watermark: int, last_seq: int) -> Self:
        """Return a successor that holds all that can be copied from this file.

        This file is not written again. Its last frame has number `last_seq`. Kafka has the frames
        up to number `watermark`. Raises OSError and sqlite3.Error.
        """
        original = self._predecessors[0].path if self._predecessors else self.path
        making, fresh = file_names.partial(original), file_names.successor(original)
        found = _build(making, self.path, watermark, last_seq)
        making.rename(fresh)
        return type(self)(fresh, self._lock, found, (*self._predecessors, self))

    def is_sound(self) -> bool:
        """Check every page and row on a separate connection, and return whether all are sound.

        Returns True if `disconnect` ends the check.
        """
        with self._checking, contextlib.closing(_connect(self.path)) as own:
            # interrupt() does nothing before the statement runs. This handler works at any time.
            own.set_progress_handler(lambda: self._is_closing, CHECK_STEPS)
            try:
                self._is_found_sound = own.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
            except sqlite3.DatabaseError:
                return self._is_closing
            return self._is_found_sound

    def insert(
        self, first_seq: int, frames: Sequence[Received], keys: Sequence[SessionKey], progress: Mapping[str, int]
    ) -> None:
        """Commit frames numbered from `first_seq` on, new keys and progress, all or nothing."""
        statements = [*_key_statements(keys), *_frame_statements(first_seq, frames), *_progress_statements(progress)]
        if first_seq - 1 > self._highest:  # earlier frames were delivered from memory and used these numbers
            statements = [*_number_statements(first_seq - 1), *statements]
        self._highest = max(self._highest, first_seq + len(frames) - 1)
        if len(statements) == 1:  # autocommit: one hand-over of the interpreter lock
            self._writer.execute(*statements[0])
            return
        self._commit(statements)

    def _commit(self, statements: Sequence[_Statement]) -> None:
        execute = self._writer.execute
        execute("BEGIN IMMEDIATE")
        try:
            for sql, values in statements:
                execute(sql, values)
            execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                execute("ROLLBACK")
            raise

    def read(self, after: int, before: int, limit: int) -> tuple[Block, dict[int, Received]]:
        """Return consecutive frames with `after` < number < `before`, and damaged rows.

        A row with a wrong checksum is damaged. The block ends before a damaged row, or begins after
        one. Damaged rows that are not yet marked in the file are returned by number. If the block
        is empty, its `last_seq` is the last number that was searched.
        """
        rows = self._reader.execute(
            "SELECT seq, received_ns, slot, session, binary, raw, crc FROM frame "
            "WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?",
            (after, before, limit),
        ).fetchall()
        first, frames, damaged = after + 1, list[Received](), dict[int, Received]()
        for seq, received_ns, slot, session, binary, raw, crc in rows:
            frame = Received(received_ns, slot, session, bool(binary), raw)
            sound = zlib.crc32(raw) == crc
            if frames and (not sound or seq != first + len(frames)):
                break
            if sound:
                first = first if frames else seq
                frames.append(frame)
            else:
                if crc != KNOWN_DAMAGED:
                    damaged[seq] = frame
                first = seq + 1
        if not frames and len(rows) < limit:
            first = before  # there are no more rows
        return Block(first, frames), damaged

    def condemn(self, seqs: Sequence[int], progress: Mapping[str, int]) -> None:
        """Mark rows as damaged, and save in the same transaction the progress that counts them."""
        marks = [("UPDATE frame SET crc = ? WHERE seq = ?", (KNOWN_DAMAGED, seq)) for seq in seqs]
        self._commit([*marks, *_progress_statements(progress)])

    def last_seq(self) -> int:
        """Return the highest number ever given to a frame, or 0 in a new file."""
        row = self._reader.execute("SELECT seq FROM sqlite_sequence WHERE name = 'frame'").fetchone()
        return int(row[0]) if row else 0

    def _missing(self) -> list[range]:
        """Return the numbers above the watermark that have no sound row.

        Returns none if the file's progress counts no corrupt frame.
        """
        progress, found = self.progress(), list[range]()
        if progress.get("lost_corrupt"):
            expected = progress.get("watermark", 0) + 1
            query = "SELECT seq FROM frame WHERE seq >= ? AND crc <> ? ORDER BY seq"
            with contextlib.suppress(sqlite3.Error):  # a later read finds the bad page too and replaces the file
                for (seq,) in self._reader.execute(query, (expected, KNOWN_DAMAGED)):
                    if seq > expected:
                        found.append(range(expected, seq))
                    expected = seq + 1
                if expected <= self._highest:
                    found.append(range(expected, self._highest + 1))
        return found

    def first_seq(self) -> int:
        """Return the number of the oldest frame in the file, or 0 in an empty file."""
        return int(self._reader.execute("SELECT min(seq) FROM frame").fetchone()[0] or 0)

    def progress(self) -> dict[str, int]:
        """Return the last committed progress: watermark and counts of lost frames."""
        return dict(self._reader.execute("SELECT name, value FROM progress"))

    def cipher_keys(self) -> list[SessionKey]:
        """Return all keys, oldest first."""
        rows = self._reader.execute("SELECT slot, session, key, iv FROM cipher_key ORDER BY seq")
        return [SessionKey(slot, session, CipherKey(key, iv)) for slot, session, key, iv in rows]

    def save(self, name: str, value: str) -> None:
        """Save a small text under a name."""
        self._writer.execute(
            "INSERT INTO kept VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
        )

    def saved(self, name: str) -> str | None:
        """Return the text saved under a name."""
        row = self._reader.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def prune(self, through: int, older_than_ns: int | None) -> int:
        """Delete at most PRUNED_ROWS of the oldest frames, and return how many were deleted.

        Frames after number `through` are kept. With `older_than_ns`, frames received at or after
        that time are kept too.
        """
        oldest = f"SELECT seq, received_ns FROM frame WHERE seq <= ? ORDER BY seq LIMIT {PRUNED_ROWS}"
        condition = "" if older_than_ns is None else " WHERE received_ns < ?"
        bound = (through,) if older_than_ns is None else (through, older_than_ns)
        return self._writer.execute(
            f"DELETE FROM frame WHERE seq IN (SELECT seq FROM ({oldest}){condition})", bound
        ).rowcount

    def used_bytes(self) -> int:
        """Return the bytes in use: the WAL and the pages, except free ones, which SQLite reuses."""
        pages, free, size = (
            self._reader.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size) + self.wal_bytes()

    def wal_bytes(self) -> int:
        """Return the size of SQLite's own write-ahead log."""
        with contextlib.suppress(FileNotFoundError):
            return Path(f"{self.path}-wal").stat().st_size
        return 0

    def checkpoint(self) -> None:
        """Copy the WAL into the database. PASSIVE never makes the writer wait."""
        self._reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def truncate_wal(self) -> None:
        """Copy the rest of the WAL into the database, and empty the WAL.

        While frames are written steadily, only the writing connection can do this.
        """
        self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def disconnect(self) -> None:
        """End a running check, and close the connections."""
        self._is_closing = True
        with self._checking:
            self._reader.close()
            self._writer.close()

    def close(self) -> None:
        """Close all files and release the lock; no thread may still be reading.

        Closing a file empties its WAL.
        """
        if self._is_found_sound:
            with contextlib.suppress(sqlite3.Error):
                self.save(CLEAN, "yes")
        for file in (self, *self._predecessors):
            with contextlib.suppress(sqlite3.Error):
                file.disconnect()
        if self._predecessors:
            file_names.promote_successor(self._predecessors[0].path)
        os.close(self._lock)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def _take_lock(path: Path) -> int:
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, mode=0o700)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnusable(
            f"The journal's folder {path.parent} is not writable: {error.strerror}. "
            "Set journal.path to a folder this user may write."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno != errno.EWOULDBLOCK:
            raise JournalUnusable(
                f"The journal {path} could not be locked: {error.strerror}. It needs a local file system."
            ) from error
        raise JournalUnusable(
            f"The journal {path} is held by another instance. "
            "Stop that one, or give this one a journal.path of its own."
        ) from error
    return lock


def _ensure_sound(path: Path) -> Salvage | None:
    """Create a missing file, or replace a corrupt one by a copy of what can be read of it."""
    making = Path(f"{path}.partial")
    if making.exists() and not path.exists():  # the copy was complete before the corrupt file was set aside
        making.rename(path)
    with contextlib.suppress(FileExistsError):
        file_names.create(path)
    try:
        _check(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        message = str(error)
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in message and "decode" not in message:
            raise  # I/O, locking, space
        found = _build(file_names.partial(path), path, 0, 0)
        found = found._replace(aside=file_names.set_aside(path))
        making.rename(path)
        return found
    return None


def _build(making: Path, old: Path, watermark: int, last_seq: int) -> Salvage:
    """Create and close a journal that holds all that can be read of an old one."""
    file_names.create(making)
    _check(making)
    with contextlib.closing(_connect(making)) as new:
        return salvage(old, new, watermark, last_seq)


def _check(path: Path) -> None:
    """Create or verify the tables.

    Raises sqlite3.DatabaseError if the content is damaged, and JournalUnusable if a newer version
    wrote it.
    """
    with contextlib.closing(_connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise JournalUnusable(
                f"The journal {path} was written by a newer version "
                f"(format {version}, this one knows {SCHEMA_VERSION}). "
                "Run that version, or set journal.path to a new file."
            )
        if version == 0:
            connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        if path.stat().st_size <= CHECKED_AT_OPEN_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        if _tables(connection) != _TABLES:
            raise sqlite3.DatabaseError("the tables are not the journal's")
        last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'frame'").fetchone()
        for texts in ("SELECT key, iv FROM cipher_key", "SELECT name, value FROM kept"):
            connection.execute(texts).fetchall()  # raises if the texts are not UTF-8
        progress = dict(connection.execute("SELECT name, value FROM progress"))
        if progress.get("watermark", 0) > (last[0] if last else 0) or min(progress.values(), default=0) < 0:
            raise sqlite3.DatabaseError("the progress is beyond the last frame")


def _tables(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()


def _made() -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return _tables(connection)


_TABLES = _made()


def _frame_statements(first_seq: int, frames: Sequence[Received]) -> Iterator[_Statement]:
    start, left = 0, len(frames)
    while left:
        # The sizes are powers of two, so that there are few different statements to compile.
        size = min(ROWS_A_STATEMENT, 1 << left.bit_length() - 1)
        part = frames[start : start + size]
        rows = [
            (seq, frame.received_ns, frame.slot, frame.session, frame.binary, zlib.crc32(frame.raw), frame.raw)
            for seq, frame in enumerate(part, first_seq + start)
        ]
        yield _INSERT_FRAMES[size], tuple(chain.from_iterable(rows))
        start, left = start + size, left - size


def _insert_frames(rows: int) -> str:
    columns = "seq, received_ns, slot, session, binary, crc, raw"
    return f"INSERT INTO frame ({columns}) VALUES {','.join(['(?,?,?,?,?,?,?)'] * rows)}"


_INSERT_FRAMES = {1 << power: _insert_frames(1 << power) for power in range(ROWS_A_STATEMENT.bit_length())}


def _key_statements(keys: Sequence[SessionKey]) -> Iterator[_Statement]:
    for slot, session, (key, iv) in keys:
        yield "INSERT INTO cipher_key (slot, session, key, iv) VALUES (?, ?, ?, ?)", (slot, session, key, iv)


def _number_statements(highest: int) -> Iterator[_Statement]:
    yield "DELETE FROM sqlite_sequence WHERE name = 'frame'", ()
    yield "INSERT INTO sqlite_sequence VALUES ('frame', ?)", (highest,)


def _progress_statements(progress: Mapping[str, int]) -> Iterator[_Statement]:
    for name, value in progress.items():
        yield (
            "INSERT INTO progress VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )
