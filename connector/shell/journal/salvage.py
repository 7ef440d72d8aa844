"""Copies all that can be read of an unfit journal into a new one."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FRAME = "seq, received_ns, slot, session, binary, crc, raw"
ROWS = 512
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)  # text, even SQLite's own message, may be damaged


class Salvage(NamedTuple):
    """How many undelivered frames were copied (`frames`), and how many were unreadable.

    The unreadable frames were received between `from_ns` and `to_ns`, as far as that is known.
    `aside` is the new name of the old file, or None before the old file is renamed.
    """

    frames: int
    unreadable: int
    from_ns: int
    to_ns: int
    aside: Path | None = None


def salvage(path: Path, new: sqlite3.Connection, watermark: int, last: int) -> Salvage:
    """Copy progress, saved texts, keys and undelivered frames, as far as `path` can be read.

    Frames keep their numbers. `watermark` and `last` are 0 if unknown. Delivered frames stay in the
    old file, which is not changed. The transaction that copies also counts the unreadable frames in
    the new file's progress.
    """
    # If the file has no log, SQLite can open it for reading only as an immutable file.
    mode = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    with contextlib.closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
    ) as old:
        new.execute("BEGIN IMMEDIATE")
        try:
            found = _copy(old, new, watermark, last)
            new.execute("COMMIT")
        except sqlite3.Error:
            new.execute("ROLLBACK")
            raise
        return found


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, watermark: int, last: int) -> Salvage:
    for table in ("progress", "kept", "cipher_key"):
        for row in _readable(old, f"SELECT * FROM {table}"):
            with contextlib.suppress(sqlite3.IntegrityError):  # the value is damaged and has another type
                new.execute(f"INSERT OR REPLACE INTO {table} VALUES ({','.join('?' * len(row))})", row)
    for query in ("SELECT seq FROM sqlite_sequence WHERE name = 'frame'", "SELECT max(seq) FROM frame"):
        last = max(last, watermark, *(row[0] for row in _readable(old, query) if isinstance(row[0], int)))
    saved = dict(new.execute("SELECT name, value FROM progress")).get("watermark", 0)
    watermark = saved if watermark < saved <= last else watermark  # a saved watermark above `last` is damaged
    new.execute("INSERT OR REPLACE INTO progress VALUES ('watermark', ?)", (watermark,))
    copied, before_ns, after_ns, expected = 0, 0, 0, watermark + 1
    for frame in _frames(old, watermark, last):
        try:
            new.execute(f"INSERT INTO frame ({FRAME}) VALUES (?,?,?,?,?,?,?)", frame)
        except sqlite3.IntegrityError:  # the value is damaged and has another type
            continue
        if frame[0] != expected:
            before_ns, after_ns = before_ns or frame[1], frame[1]
        expected, copied = frame[0] + 1, copied + 1
    unreadable = max(last - watermark, 0) - copied
    if unreadable:
        new.execute(
            "INSERT INTO progress VALUES ('lost_corrupt', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
            (unreadable,),
        )
    new.execute("DELETE FROM sqlite_sequence WHERE name = 'frame'")
    new.execute("INSERT INTO sqlite_sequence VALUES ('frame', ?)", (last,))
    now = time.time_ns()
    return Salvage(copied, unreadable, before_ns or now, after_ns or now)


def _frames(old: sqlite3.Connection, after: int, last: int) -> Iterator[tuple[int, int, int, int, int, int, bytes]]:
    """Yield the rows in order, without those on unreadable pages."""
    query = f"SELECT {FRAME} FROM frame WHERE seq > ? ORDER BY seq LIMIT ?"
    size = ROWS
    while after < last:
        try:
            rows = old.execute(query, (after, size)).fetchall()
        except UNREADABLE:
            # Any of the rows may be on the bad page. Try fewer, and skip a row that fails alone.
            after, size = (after, size // 2) if size > 1 else (after + 1, 1)
            continue
        if not rows:
            return
        yield from rows
        after, size = rows[-1][0], min(size * 2, ROWS)


def _readable(old: sqlite3.Connection, query: str) -> Iterator[tuple[int, ...]]:
    try:
        yield from old.execute(query)
    except UNREADABLE:
        return
