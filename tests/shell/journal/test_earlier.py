"""A journal of the earlier kind is found, and taken over once, with all that was pending."""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
import zlib

import pytest
import structlog

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.errors import JournalUnusable
from connector.settings import JournalSettings
from connector.shell.journal import Journal, Unopened, opening, start, syncing
from connector.shell.journal import earlier as module
from connector.shell.journal.inspection import inspect
from connector.shell.journal.place import Place
from tests.shell.journal.frames import collect

SCHEMA = """
CREATE TABLE frame (seq INTEGER PRIMARY KEY AUTOINCREMENT, received_ns INTEGER NOT NULL, slot INTEGER NOT NULL,
  session INTEGER NOT NULL, binary INTEGER NOT NULL, crc INTEGER NOT NULL, raw BLOB NOT NULL) STRICT;
CREATE TABLE cipher_key (seq INTEGER PRIMARY KEY AUTOINCREMENT, slot INTEGER NOT NULL, session INTEGER NOT NULL,
  key TEXT NOT NULL, iv TEXT NOT NULL) STRICT;
CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
FRAMES = [Received(1000 + number, number % 2, 7, number == 5, b"frame %d" % number) for number in range(1, 11)]


def earlier(path, damaged=()):
    """Make a journal of the earlier kind with ten frames, of which four are delivered."""
    path.parent.mkdir(exist_ok=True)
    database = sqlite3.connect(path)
    database.executescript(f"PRAGMA journal_mode = WAL; {SCHEMA}")
    for seq, (received_ns, slot, session, binary, raw) in enumerate(FRAMES, 1):
        crc = zlib.crc32(raw) ^ (seq in damaged)
        database.execute(
            "INSERT INTO frame VALUES (?,?,?,?,?,?,?)", (seq, received_ns, slot, session, binary, crc, raw)
        )
    database.execute("INSERT INTO cipher_key VALUES (1, 0, 7, ?, ?)", ("k" * 32, "i" * 16))
    database.execute("INSERT INTO progress VALUES ('watermark', 4)")
    database.execute("INSERT INTO kept VALUES ('lists', '{}')")
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("old", "given"),
    [("journal.db", "journal.db"), ("journal.db", "journal"), ("journal", "journal")],
    ids=["the path with .db", "a file with .db beside the path", "the path without .db"],
)
async def test_pending_frames_keys_and_texts_are_taken_over(tmp_path, old, given):
    """Wherever the file is, its pending frames come in order, once, and the file is renamed."""
    earlier(tmp_path / "data" / old)
    for times in range(2):
        with structlog.testing.capture_logs() as logs:
            source = await Journal.open(JournalSettings(path=tmp_path / "data" / given), print)
        assert source.synced_seq == 6
        assert await collect(source.read, source.watermark, source.last_seq) == FRAMES[4:]
        assert list(source.keys(0, 7)) == [CipherKey("k" * 32, "i" * 16)]
        assert await source.saved("lists") == "{}"
        await source.close()
        events = [entry["event"] for entry in logs]
        assert events.count("journal_imported") == (times == 0)
        assert events.count("journal_path_is_a_folder") == given.endswith(".db")
    assert (tmp_path / "data" / "journal").is_dir()
    assert (tmp_path / "data" / "journal.db.imported").exists()


async def test_a_damaged_row_is_a_counted_loss(tmp_path):
    """A row whose checksum is wrong is counted as corrupt and reported; the others come."""
    losses = []
    earlier(tmp_path / "journal.db", damaged=(2, 6))
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), losses.append)
    assert await collect(source.read, source.watermark, source.last_seq) == [FRAMES[4], *FRAMES[6:]]
    assert source.lost == {"corrupt": 1}
    source.report_losses()
    assert [(loss.slot, loss.reason, loss.frames) for loss in losses] == [(0, "corrupt", 1)]
    await source.close()


async def test_a_file_that_cannot_be_read_for_the_moment_is_kept(tmp_path):
    """A file that another program has locked is refused and stays; the loop goes on meanwhile."""
    earlier(tmp_path / "journal.db")
    turns = []

    async def turn():
        while True:
            await asyncio.sleep(0.01)
            turns.append(1)

    turning = asyncio.create_task(turn())
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalUnusable, match=r"journal\.db could not be taken over: database is locked"):
            await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    turning.cancel()
    assert len(turns) > 20
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert await collect(source.read, source.watermark, source.last_seq) == FRAMES[4:]
    await source.close()


async def test_more_than_memory_holds_is_taken_over(tmp_path, monkeypatch):
    """Frames go to the disk a part at a time, so none is lost for want of memory."""
    monkeypatch.setattr(module, "PART_BYTES", 1)
    monkeypatch.setattr(syncing, "MEMORY_BYTES", 500)
    earlier(tmp_path / "journal.db")
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert (source.lost, source.pending) == ({}, 6)
    await source.close()


async def test_a_stop_ends_the_import_and_the_next_start_goes_on(tmp_path, monkeypatch):
    """However many frames there are, a stop waits for one part, and no frame comes twice."""
    monkeypatch.setattr(module, "PART_BYTES", 1)
    earlier(tmp_path / "journal.db")
    settings, stop = JournalSettings(path=tmp_path / "journal"), asyncio.Event()
    stop.set()
    for parts in range(1, 7):
        with pytest.raises(Unopened) as raised:
            await Journal.open(settings, print, stop)
        assert raised.value.held_by is None
        assert (tmp_path / "journal.db").exists()
        assert inspect(settings.path).pending == parts
    source = await Journal.open(settings, print, stop)
    assert await collect(source.read, source.watermark, source.last_seq) == FRAMES[4:]
    await source.close()


async def test_a_file_that_nobody_may_write_is_taken_over_once(tmp_path, monkeypatch):
    """How far a start came is noted in the journal, so no start appends a frame again."""
    monkeypatch.setattr(module, "PART_BYTES", 1)
    earlier(tmp_path / "journal.db")
    real, stop = sqlite3.connect, asyncio.Event()
    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: real(path.replace("=rw", "=ro"), **options))
    monkeypatch.setattr(module, "rename", lambda *_: (tmp_path / "forbidden").stat())
    stop.set()
    for _ in range(6):
        with pytest.raises(Unopened):
            await Journal.open(JournalSettings(path=tmp_path / "journal"), print, stop)
    for _ in range(2):
        with pytest.raises(JournalUnusable, match=r"journal\.db could not be taken over: .*forbidden"):
            await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert inspect(tmp_path / "journal").pending == 6


@pytest.mark.parametrize(
    ("note", "taken"),
    [
        ("", 6),
        (" ", 6),
        (" x", 6),
        (" 7 8", 6),
        (" 1_0", 6),
        (" ٧", 6),
        (" -7", 6),
        (" 3", 6),
        (" 11", 6),
        (f" {10**30}", 6),
        (f" {'7' * 5000}", 6),
        (" 7", 3),
        (" 10", 0),
    ],
)
async def test_an_odd_note_hides_no_frame(tmp_path, note, taken):
    """Only a number between the watermark and the last row says how far a file was taken over."""
    earlier(tmp_path / "journal.db")
    source = await Journal.open(JournalSettings(path=tmp_path / "other"), print)
    file = module.Earlier(tmp_path / "journal.db")
    file.open()
    await source.save(module.TAKEN, file.identity + note)
    file.close()
    await source.close()
    (tmp_path / "other").rename(tmp_path / "journal")
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert (source.pending, source.lost) == (taken, {})
    await source.close()


async def test_another_file_is_taken_over_from_its_own_beginning(tmp_path):
    """How far one file was taken over says nothing of the next one, even of the same inode."""
    for times in (1, 2):
        earlier(tmp_path / "journal.db")
        source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
        assert source.pending == 6 * times
        await source.close()
        (tmp_path / "journal.db.imported").unlink()


async def test_a_file_that_does_not_say_how_many_frames_it_has_is_refused(tmp_path, monkeypatch):
    """Its losses could not be counted."""
    earlier(tmp_path / "journal.db")
    monkeypatch.setattr(module, "LAST", ("SELECT max(seq) FROM unreadable", "SELECT seq FROM unreadable"))
    with pytest.raises(JournalUnusable, match="the number of its last frame cannot be read"):
        await Journal.open(JournalSettings(path=tmp_path / "journal"), print)


async def test_a_bad_text_hides_no_other(tmp_path):
    """Keys and texts behind one that is no UTF-8 come."""
    earlier(tmp_path / "journal.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.execute("UPDATE cipher_key SET key = CAST(x'ff' AS TEXT)")
        database.execute("INSERT INTO cipher_key VALUES (2, 1, 7, ?, ?)", ("l" * 32, "i" * 16))
        database.execute("INSERT INTO kept VALUES ('a', CAST(x'ff' AS TEXT))")
        database.commit()
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert list(source.keys(1, 7)) == [CipherKey("l" * 32, "i" * 16)]
    assert await source.saved("lists") == "{}"
    await source.close()


def damage(path, statement, *values):
    """Change a row as damage does, which obeys no type."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA writable_schema = ON")
        loose = "replace(replace(sql, 'STRICT', ''), 'NOT NULL', '')"
        database.execute(f"UPDATE sqlite_schema SET sql = {loose} WHERE sql LIKE '%STRICT%'")
        database.commit()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement, values)
        database.commit()


@pytest.mark.parametrize(
    "column",
    ["raw = CAST(raw AS TEXT)", "raw = NULL", "slot = NULL", "slot = 70000", "session = -3", "received_ns = 'x'"],
)
async def test_a_row_with_a_damaged_column_is_a_counted_loss(tmp_path, column):
    """Whatever is in a column, only that frame is lost."""
    earlier(tmp_path / "journal.db")
    damage(tmp_path / "journal.db", f"UPDATE frame SET {column} WHERE seq = 7")
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert await collect(source.read, source.watermark, source.last_seq) == [*FRAMES[4:6], *FRAMES[7:]]
    assert (source.lost, source.received) == ({"corrupt": 1}, 6)
    await source.close()


@pytest.mark.parametrize(
    ("statement", "first", "lost"),
    [
        ("UPDATE cipher_key SET slot = NULL", 5, 0),
        ("UPDATE cipher_key SET key = 7", 5, 0),
        ("UPDATE kept SET value = x'ff00'", 5, 0),
        ("UPDATE progress SET value = 'x'", 1, 0),
        ("UPDATE progress SET value = 1 << 60", 1, 0),
        ("UPDATE progress SET value = -(1 << 60)", 1, 0),
        ("UPDATE progress SET value = -1", 1, 0),
        ("DELETE FROM progress", 1, 0),
        ("UPDATE sqlite_sequence SET seq = 12", 5, 2),
        ("UPDATE sqlite_sequence SET seq = 8", 5, 0),
        ("UPDATE sqlite_sequence SET seq = 'x'", 5, 0),
        ("UPDATE sqlite_sequence SET seq = 1 << 60", 5, 32_768 // 32 - 6),
    ],
)
async def test_damage_beside_the_frames_costs_no_frame(tmp_path, statement, first, lost):
    """Without a readable watermark all frames are pending, as no one knows what was delivered.

    Numbers that were given and have no frame are lost, at most as many as fit in the file.
    """
    earlier(tmp_path / "journal.db")
    damage(tmp_path / "journal.db", statement)
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert await collect(source.read, source.watermark, source.last_seq) == FRAMES[first - 1 :]
    assert source.lost.get("corrupt", 0) == lost
    await source.close()


@pytest.mark.parametrize("part", [0.4, 0.9, 1.0])
async def test_frames_behind_a_damaged_page_come(tmp_path, part):
    """Each number without a readable frame is a loss; there are none that nobody counts."""
    path, number = tmp_path / "journal.db", 3000
    earlier(path)
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = [
            (seq, 2000 + seq, 0, 7, 0, zlib.crc32(b"%0100d" % seq), b"%0100d" % seq) for seq in range(11, number + 1)
        ]
        database.executemany("INSERT INTO frame VALUES (?,?,?,?,?,?,?)", rows)
        database.commit()
    content = bytearray(path.read_bytes())
    page = min(int(len(content) * part), len(content) - 1) // 4096 * 4096
    content[page : page + 4096] = os.urandom(4096)
    path.write_bytes(content)
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    found = await collect(source.read, source.watermark, source.last_seq)
    assert source.received == number - 4
    assert 0 < source.lost["corrupt"] < 80
    assert len(found) == source.received - source.lost["corrupt"]
    times = [frame.received_ns for frame in found]
    assert times == sorted(set(times))
    await source.close()


async def test_what_does_not_fit_is_kept(tmp_path, monkeypatch):
    """The file keeps its frames, and the start says what to raise."""
    monkeypatch.setattr(module, "PART_BYTES", 1)
    earlier(tmp_path / "journal.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        for seq in range(11, 60):
            raw = bytes(2**19)
            database.execute("INSERT INTO frame VALUES (?,?,0,7,0,?,?)", (seq, seq, zlib.crc32(raw), raw))
        database.commit()
    with pytest.raises(JournalUnusable, match=r"it does not fit in journal\.max_bytes"):
        await Journal.open(JournalSettings(path=tmp_path / "journal", max_bytes=2**24), print)
    assert (tmp_path / "journal.db").exists()
    source = await Journal.open(JournalSettings(path=tmp_path / "journal", max_bytes=2**27), print)
    assert len({frame.received_ns for frame in await collect(source.read, source.watermark, source.last_seq)}) == 55
    await source.close()


async def test_who_waited_for_the_folder_takes_over_nothing(tmp_path, monkeypatch):
    """The other process has done it, and its file stays as it is."""
    earlier(tmp_path / "journal.db")
    monkeypatch.setattr(opening, "place", lambda path: Place(path, tmp_path / "journal.db"))
    for _ in range(2):
        source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
        assert source.pending == 6
        await source.close()
    assert (tmp_path / "journal.db.imported").stat().st_size > 0
    assert not (tmp_path / "journal.db").exists()


@pytest.mark.parametrize("what", ["another program's", "taken", "successor", "lock"])
async def test_what_is_not_to_be_taken_over_is_refused(tmp_path, what):
    """Nothing is changed, and the sentence says what is in the way."""
    path = tmp_path / "journal.db"
    if what == "another program's":
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE frame (x)")
        expected = "journal.db is no journal, or so damaged that SQLite cannot open it."
    else:
        earlier(path)
        name, expected = {
            "taken": ("journal.db.imported", "journal.db.imported is in the way"),
            "successor": (
                "journal.db.2",
                "journal.db.2 may have newer frames than .*journal.db. If it is a copy",
            ),
            "lock": ("journal.db.lock", "journal.db could not be taken over: .*Is a directory"),
        }[what]
        (tmp_path / name).mkdir()
    content = path.read_bytes()
    with pytest.raises(JournalUnusable, match=expected):
        await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert path.read_bytes() == content


async def test_a_stop_does_not_wait_for_a_disk_that_hangs(tmp_path, monkeypatch):
    """While SQLite waits for its disk, the stop goes on; the file stays as it is."""
    earlier(tmp_path / "journal.db")
    hangs, ends, stop, real = threading.Event(), threading.Event(), asyncio.Event(), sqlite3.connect

    def connect(path, **options):
        hangs.set()
        ends.wait()
        return real(path, **options)

    monkeypatch.setattr(sqlite3, "connect", connect)
    monkeypatch.setattr(start, "SLOW_SECONDS", 0.05)
    task = asyncio.create_task(Journal.open(JournalSettings(path=tmp_path / "journal"), print, stop))
    async with asyncio.timeout(10):
        while not hangs.is_set():
            await asyncio.sleep(0.01)
        stop.set()
        with pytest.raises(Unopened):
            await task
    ends.set()
    assert (tmp_path / "journal.db").exists()


async def test_a_file_that_another_process_holds_is_refused(tmp_path):
    """While a connector of the earlier version runs, its journal is not taken over."""
    earlier(tmp_path / "journal.db")
    with (tmp_path / "journal.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalUnusable, match="held by another instance"):
            await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert (tmp_path / "journal.db").exists()
