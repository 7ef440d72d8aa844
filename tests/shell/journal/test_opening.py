"""A journal is opened once no other process holds it, and only if it is one."""

import asyncio
import os
import threading

import pytest
import structlog

from connector.errors import JournalUnusable
from connector.settings import JournalSettings
from connector.shell.journal import Journal, Unopened, opening, segment, start
from connector.shell.journal.folder import Folder
from tests.shell.journal.frames import collect, frame


async def test_a_start_waits_for_the_lock_and_says_so_once(tmp_path, monkeypatch):
    """While another process holds the journal, the start tells once by which one, and waits."""
    monkeypatch.setattr(opening, "LOCK_POLL_SECONDS", 0.01)
    held = Folder(tmp_path / "journal")
    assert held.lock() is None
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(Journal.open(JournalSettings(path=tmp_path / "journal"), print))
        async with asyncio.timeout(30):
            while not logs:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not task.done()
        held.close()
        await (await task).close()
    assert [entry["by"].startswith("pid ") for entry in logs if entry["event"] == "journal_held"] == [True]


async def test_a_lock_that_stays_ends_the_start(tmp_path, monkeypatch):
    """If the lock stays, the start ends with a sentence that names the process."""
    monkeypatch.setattr(opening, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(opening, "LOCK_POLL_SECONDS", 0.01)
    held = Folder(tmp_path / "journal")
    assert held.lock() is None
    with pytest.raises(JournalUnusable, match=r"held by another instance \(pid [0-9]+\)"):
        await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    held.close()


async def test_an_open_folder_is_warned_about_and_left_as_it_is(tmp_path):
    """An existing folder that others can enter stays so, with a warning."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal").chmod(0o755)
    with structlog.testing.capture_logs() as logs:
        await (await Journal.open(JournalSettings(path=tmp_path / "journal"), print)).close()
    assert [entry["mode"] for entry in logs if entry["event"] == "journal_folder_open"] == ["755"]
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o755


async def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    """A path below a file is refused."""
    (tmp_path / "data").write_text("x")
    with pytest.raises(JournalUnusable):
        await Journal.open(JournalSettings(path=tmp_path / "data" / "journal"), print)


async def test_a_disk_that_cannot_sync_what_a_kill_left_ends_the_start(opened, tmp_path, monkeypatch):
    """Frames that may not be on the disk do not count as synced; the next start tries it again."""
    source = await opened()
    source.append(frame(1))
    await source.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(JournalUnusable, match=r"could not be opened: .*Input/output error"):
            await opened()
    source = await opened()
    assert await collect(source.read, 0, 1) == [frame(1)]


@pytest.fixture
async def unreadable(opened, tmp_path, monkeypatch):
    """Return a journal's settings, and the set of its segments that the disk does not give."""
    source = await opened()
    for number in (1, 2):
        source.append(frame(number))
    await source.close()
    (path,) = (tmp_path / "journal").glob("*.log")
    real, inode, failing = os.pread, path.stat().st_ino, {path.name}

    def pread(fd, size, at):
        if failing and os.fstat(fd).st_ino == inode:
            raise OSError(5, "Input/output error")
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr(opening, "RETRY_SECONDS", 0.01)
    return JournalSettings(path=tmp_path / "journal"), failing


async def test_a_start_waits_for_the_disk_and_says_so_once(unreadable):
    """While the disk does not give the last segment, the start names it once and waits."""
    settings, failing = unreadable
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(Journal.open(settings, print))
        async with asyncio.timeout(30):
            while "journal_unreadable" not in [entry["event"] for entry in logs]:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not task.done()
        (name,) = failing
        failing.clear()
        source = await task
    assert [name in entry["error"] for entry in logs if entry["event"] == "journal_unreadable"] == [True]
    assert await collect(source.read, 0, 2) == [frame(1), frame(2)]
    await source.close()


async def test_a_disk_that_does_not_come_back_stops_no_start(unreadable, monkeypatch):
    """After a while its frames are a loss, and the journal is open."""
    settings, _ = unreadable
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 0.2)
    source = await Journal.open(settings, print)
    assert source.lost == {"corrupt": 2}
    await source.close()


async def test_a_stop_ends_the_wait_for_the_disk(unreadable):
    """Nothing was received yet, so a stop need not wait."""
    settings, _ = unreadable
    stop = asyncio.Event()
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(Journal.open(settings, print, stop))
        async with asyncio.timeout(30):
            while "journal_unreadable" not in [entry["event"] for entry in logs]:
                await asyncio.sleep(0.01)
            stop.set()
            with pytest.raises(Unopened):
                await task
    held = Folder(settings.path)
    assert held.lock() is None, "the lock was released"
    held.close()


async def test_a_stop_does_not_wait_for_a_disk_that_hangs(unreadable, monkeypatch):
    """The stop goes on, and the folder stays open until the call that hangs in it has ended."""
    settings, failing = unreadable
    failing.clear()
    hangs, ends, stop, real = threading.Event(), threading.Event(), asyncio.Event(), os.pread

    def pread(fd, size, at):
        hangs.set()
        ends.wait()
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr(start, "SLOW_SECONDS", 0.05)
    task = asyncio.create_task(Journal.open(settings, print, stop))
    async with asyncio.timeout(10):
        while not hangs.is_set():
            await asyncio.sleep(0.01)
        stop.set()
        with pytest.raises(Unopened) as raised:
            await task
        assert raised.value.held_by is None
        other = Folder(settings.path)
        monkeypatch.setattr(os, "pread", real)
        assert other.lock() is not None
        ends.set()
        while other.lock() is not None:
            await asyncio.sleep(0.01)
        other.close()


async def test_a_stop_during_a_quick_start_is_no_reason_to_break_it_off(unreadable):
    """The journal opens, and tells what it holds."""
    settings, failing = unreadable
    failing.clear()
    stop = asyncio.Event()
    stop.set()
    source = await Journal.open(settings, print, stop)
    assert source.pending == 2
    await source.close()
