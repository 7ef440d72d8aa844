"""Frames are written in order, whatever the disk does, and nobody waits for it."""

import asyncio
import os
import shutil
import threading
from functools import partial

import pytest
import structlog

from connector.core.journal import memory
from connector.core.journal.record import Block, Mark
from connector.settings import JournalSettings
from connector.shell.journal import Journal, syncing, trouble, writing
from tests.shell.journal.frames import assert_law, collect, frames, until


@pytest.fixture
async def source(tmp_path, monkeypatch):
    """Return a journal with short pauses."""
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(trouble, "SLOW_SECONDS", 0.3)
    monkeypatch.setattr(syncing, "PROGRESS_SECONDS", 0.01)
    made = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    yield made
    if made.is_alive:
        await made.close()


async def set_back(source, synced):
    """Set back what counts as synced; a round under way would set it forward again."""
    source._syncing._pause = 3600
    await source._syncing.next_round()
    source.tally.synced = synced


class Disk:
    """Makes calls of the system fail or hang, until `heal`; `hangs` tells of one that waits."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch
        self._healed = threading.Event()
        self.hangs = threading.Event()
        self.failing = {}

    def fail(self, call, error):
        """Make a call of `os` raise an error."""
        work, self.failing[call] = getattr(os, call), error

        def failing(*arguments):
            if call in self.failing:
                raise OSError(self.failing[call], os.strerror(self.failing[call]))
            return work(*arguments)

        self._monkeypatch.setattr(os, call, failing)

    def hang(self, call):
        """Make a call of `os` wait until `heal`."""
        work = getattr(os, call)

        def hanging(*arguments):
            if not self._healed.is_set():
                self.hangs.set()
                self._healed.wait(170)  # longer than any deadline here
            return work(*arguments)

        self._monkeypatch.setattr(os, call, hanging)

    def heal(self):
        """Let all calls work."""
        self.failing.clear()
        self._healed.set()


@pytest.fixture
def disk(monkeypatch):
    """Return the disk."""
    made = Disk(monkeypatch)
    yield made
    made.heal()


async def again(source, tmp_path):
    """Close the journal and return it opened again."""
    await source.close()
    return await Journal.open(JournalSettings(path=tmp_path / "journal"), print)


@pytest.mark.parametrize("error", [28, 5, 30], ids=["ENOSPC", "EIO", "EROFS"])
async def test_while_writes_fail_frames_come_from_memory_and_are_written_later(
    source, disk, tmp_path, monkeypatch, error
):
    """Frames come from memory; once the disk works, it gets what is unfinished, in order."""
    monkeypatch.setattr(memory, "BLOCK_FRAMES", 1)
    for frame in frames(1, 3):
        source.append(frame)
    await until(lambda: source.synced_seq == 3)
    disk.fail("write", error)
    for frame in frames(4, 20):
        source.append(frame)
        await asyncio.sleep(0)
    assert await collect(source.read, 3, 20) == frames(4, 20)
    assert os.strerror(error) in source.write_error
    assert (await source.read_again(7, 9, 100)).frames == frames(8, 9)
    source.advance(15)
    await until(lambda: source.memory.settled(20) == 15)
    assert_law(source)
    assert await source.read(3, 100) == Block(16, frames(16, 20)), "4 to 15 are finished, and nowhere"
    disk.heal()
    await until(lambda: source.write_error is None)
    assert source.committed_seq == 20
    source = await again(source, tmp_path)
    assert (source.watermark, source.last_seq, source.pending, source.lost) == (15, 20, 5, {})
    assert await collect(source.read, 15, 20) == frames(16, 20)
    await source.close()


async def test_what_was_delivered_from_memory_is_no_loss_after_a_kill(source, disk, tmp_path, monkeypatch):
    """The log has a mark for finished frames that it never had, whatever progress says."""
    monkeypatch.setattr(memory, "BLOCK_FRAMES", 1)
    for frame in frames(1, 3):
        source.append(frame)
    await until(lambda: source.progress.synced == 3)
    monkeypatch.setattr(source._syncing, "_save_progress", partial(asyncio.sleep, 0))
    disk.fail("write", 28)
    for frame in frames(4, 20):
        source.append(frame)
    await collect(source.read, 0, 20)
    source.advance(15)
    await until(lambda: source.memory.settled(20) == 15)
    disk.heal()
    await until(lambda: source.committed_seq == 20)
    unfinished = shutil.ignore_patterns("progress.new", "saved.json.new")
    shutil.copytree(tmp_path / "journal", tmp_path / "killed", ignore=unfinished)
    killed = await Journal.open(JournalSettings(path=tmp_path / "killed"), print)
    assert await collect(killed.read, killed.watermark, killed.last_seq) == frames(16, 20)
    assert (killed.lost, killed.pending) == ({}, 5)
    await killed.close()
    monkeypatch.undo()


async def test_what_is_written_again_is_one_write(source, monkeypatch):
    """After a failed sync a kill at any instant finds all that the log had."""
    monkeypatch.setattr(memory, "BLOCK_FRAMES", 1)
    monkeypatch.setattr(writing, "WRITE_BYTES", 1)
    writes, work = [], source.log.write

    def noted(items, *others):
        writes.append(items)
        work(items, *others)

    for frame in frames(1, 10):
        source.append(frame)
    await until(lambda: source.committed_seq == 10)
    monkeypatch.setattr(source.log, "write", noted)
    await set_back(source, 3)
    await source._writing.write_again()
    await until(lambda: source.memory.is_written)
    assert [[item.first_seq for item in items] for items in writes] == [list(range(4, 11))]


async def test_what_was_delivered_is_not_written_again(source, disk, monkeypatch):
    """While syncs fail, each new segment gets the frames that Kafka does not have, and a mark."""
    disk.fail("fdatasync", 5)
    disk.fail("fsync", 5)
    for frame in frames(1, 10):
        source.append(frame)
    await until(lambda: source.segments_retired)
    for frame in frames(11, 12):
        source.append(frame)
    await until(lambda: source.committed_seq == 12)
    source.advance(10)
    writes, work = [], source.log.write
    monkeypatch.setattr(source.log, "write", lambda items, *others: (writes.append(items), work(items, *others)))
    retired = source.segments_retired
    await until(lambda: source.segments_retired > retired + 2)
    assert writes[-1] == [Mark(1, 10, None), Block(11, frames(11, 12))]
    disk.heal()
    await until(lambda: source.progress.watermark == 10)
    assert await collect(source.read, 10, 12) == frames(11, 12)


async def test_what_waits_in_memory_is_not_missing_in_the_log(source, disk, tmp_path, monkeypatch):
    """Damage in the log costs no frame that has to be written again: memory has it."""
    monkeypatch.setattr(memory, "BLOCK_FRAMES", 1)
    for frame in frames(1, 10):
        source.append(frame)
    await until(lambda: source.synced_seq == 10)
    source.memory.trim(5, 0, 2**20)
    await set_back(source, 5)
    [segment] = source.log.segments
    os.truncate(tmp_path / "journal" / segment.name, segment.size // 3)
    disk.fail("write", 5)
    await source._writing.write_again()
    found = await collect(source.read, 0, 10)
    assert found[-5:] == frames(6, 10)
    assert source.lost == {"corrupt": 10 - len(found)}


@pytest.mark.parametrize("name", ["00000000000000000006.log.new", "progress.new", "saved.json.new"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("elsewhere")])
async def test_what_is_not_the_journals_is_trouble_until_it_is_removed(source, tmp_path, name, make):
    """It is named all the time, delivery goes on from memory, and nothing is lost."""
    for each in frames(1, 5):
        source.append(each)
    assert await source.on_disk(30)
    source.log.seal()
    odd = tmp_path / "journal" / name
    odd.unlink(missing_ok=True)
    make(odd)
    with structlog.testing.capture_logs() as logs:
        for each in frames(6, 9):
            source.append(each)
        await source.save("lists", "{}")
        await until(lambda: source.write_error)
        assert f"{odd} is " in source.write_error
        assert await collect(source.read, 5, 9) == frames(6, 9)
        rounds, done = 0, source._syncing.next_round
        while rounds < 5:
            await done()
            rounds += 1
            assert f"{odd} is " in str(source.write_error)
        odd.rmdir() if odd.is_dir() and not odd.is_symlink() else odd.unlink()
        assert await source.on_disk(30)
    assert [entry["event"] for entry in logs].count("journal_bug") == 0
    assert [entry["event"] for entry in logs].count("journal_write_recovered") == 1
    await source.close()
    again = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert await collect(again.read, 5, again.last_seq) == frames(6, 9)
    assert (again.lost, again.texts["lists"]) == ({}, "{}")
    await again.close()


async def test_a_full_journal_gives_up_nothing_that_it_had(source):
    """What has to be written again waits for room, and only newer frames are lost."""
    for frame in frames(1, 10):
        source.append(frame._replace(raw=bytes(1000)))
    await until(lambda: source.synced_seq == 10)
    await set_back(source, 0)
    source.log._max_bytes = source.log.used_bytes + 2000
    await source._writing.write_again()
    for frame in frames(11, 12):
        source.append(frame._replace(raw=bytes(3000)))
    await until(lambda: source.lost)
    assert (source.lost, source.pending) == ({"journal_full": 2}, 10)
    assert not await source.on_disk(0.1), "what waits for room is not saved"
    source.log._max_bytes = 2**24
    await until(lambda: source.memory.is_written)
    source.append(*frames(13, 13))
    assert await source.on_disk(30)
    await until(lambda: source.synced_seq == 13)
    assert len(await collect(source.read, 0, 13)) == 11


async def test_a_full_journal_is_not_written_again_and_again(source, monkeypatch):
    """When nothing more can be given up, the next write waits, however often the disk is synced."""
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 3600)
    writes, write = [], source.log.write
    monkeypatch.setattr(source.log, "write", lambda *args: (writes.append(args), write(*args)))
    source.append(*frames(1, 1))
    await until(lambda: source.synced_seq == 1)
    source.log._max_bytes = source.log.used_bytes
    source.append(*frames(2, 2))
    await until(lambda: source.lost)
    for _ in range(10):
        await source._syncing.next_round()
    before = len(writes)
    for _ in range(10):
        await source._syncing.next_round()
    assert len(writes) == before


async def test_numbers_go_on_when_all_frames_were_delivered_from_memory(source, disk, tmp_path):
    """If nothing is left to write, a mark and the watermark continue the numbers."""
    disk.fail("write", 28)
    for frame in frames(1, 20):
        source.append(frame)
    await collect(source.read, 0, 20)
    source.advance(20)
    await until(lambda: source.memory.settled(20) == 20)
    disk.heal()
    source = await again(source, tmp_path)
    assert (source.watermark, source.last_seq, source.pending) == (20, 20, 0)
    source.append(*frames(21, 21))
    assert await collect(source.read, 20, 21) == frames(21, 21)
    assert_law(source)
    await source.close()


async def test_memory_is_bounded_while_nothing_leaves(source, disk, monkeypatch, tmp_path):
    """Frames above the limit of memory are lost with reason `disk`, over a restart too."""
    monkeypatch.setattr(syncing, "MEMORY_BYTES", 1650)
    disk.fail("write", 28)
    for frame in frames(10, 29):
        source.append(frame)
    assert source.lost == {"disk": 10}
    assert source.last_seq == 20
    assert_law(source)
    assert await collect(source.read, 0, 10) == frames(10, 19)
    disk.heal()
    await until(lambda: source.write_error is None)
    source = await again(source, tmp_path)
    assert (source.lost, source.pending, source.received) == ({"disk": 10}, 10, 20)
    block = await source.read(10, 5)
    assert (block.frames, block.last_seq) == ([], 20)
    await source.close()


async def hang(source, disk):
    """Write frame 1, and begin to write frame 2, which hangs."""
    source.append(*frames(1, 1))
    await until(lambda: source.synced_seq == 1)
    disk.hang("write")
    source.append(*frames(2, 2))
    await asyncio.to_thread(disk.hangs.wait, 60)
    await until(lambda: source.write_error)


async def test_nobody_waits_for_a_hanging_write(source, disk):
    """While a write hangs, frames come and go, and nothing else is done in the folder."""
    await hang(source, disk)
    assert "has taken over" in source.write_error
    for frame in frames(3, 30):
        source.append(frame)
        await asyncio.sleep(0)
    assert await collect(source.read, 1, 30) == frames(2, 30)
    source.advance(25)
    saved = source.progress
    await asyncio.sleep(0.05)
    assert source.progress is saved
    disk.heal()
    await until(lambda: source.write_error is None and source.synced_seq == 30)
    assert source.lost == {}


async def test_a_hanging_write_costs_no_frame_while_delivery_goes_on(source, disk, monkeypatch, tmp_path):
    """Only unfinished frames count to the limit of memory; the log gets a mark for the others."""
    monkeypatch.setattr(syncing, "MEMORY_BYTES", 100_000)
    await hang(source, disk)
    for first in range(3, 2000, 100):
        for frame in frames(first, first + 99):
            source.append(frame)
        assert await collect(source.read, first - 1, first + 99) == frames(first, first + 99)
        source.advance(first + 99)
    assert (source.lost, source.pending) == ({}, 0)
    for frame in frames(2003, 3002):
        source.append(frame)
    assert 0 < source.pending < 1000, "those that Kafka does not have are bounded"
    assert source.lost == {"disk": 1000 - source.pending}
    assert_law(source)
    pending = source.pending
    disk.heal()
    await until(lambda: source.write_error is None)
    source = await again(source, tmp_path)
    assert (source.lost, source.pending) == ({"disk": 1000 - pending}, pending)
    assert await collect(source.read, 2002, 2002 + pending) == frames(2003, 2002 + pending)
    await source.close()


async def test_a_quick_write_is_done_in_the_turn_that_began_it(source, monkeypatch):
    """The loop waits a moment for a small write, and needs no turn to hear of it."""
    monkeypatch.setattr(writing, "PATIENCE_SECONDS", 60)
    await asyncio.sleep(0)
    source.append(*frames(1, 1))
    for _ in range(2):  # the task that waits for frames is woken in the first turn or in the second
        await asyncio.sleep(0)
    assert source.committed_seq == 1


@pytest.mark.parametrize("reason", ["the disk is in trouble", "the write is large"])
async def test_the_loop_waits_for_no_write_that_may_be_slow(source, disk, monkeypatch, reason):
    """While the disk is in trouble, and for large writes, the loop goes on at once."""
    monkeypatch.setattr(writing, "PATIENCE_SECONDS", 60)
    if reason == "the write is large":
        monkeypatch.setattr(writing, "PATIENCE_BYTES", 1)
    else:
        source.trouble.note("another call", "Input/output error")
    disk.hang("write")
    source.append(*frames(1, 1))
    await until(disk.hangs.is_set)
    assert source.committed_seq == 0, "the write hangs, and the loop runs"
    disk.heal()
    await until(lambda: source.committed_seq == 1)


async def test_a_stop_does_not_wait_for_a_hanging_write(source, disk):
    """A close while a write hangs returns soon, and says that not everything is saved."""
    disk.hang("write")
    source.append(*frames(1, 1))
    await until(lambda: source.write_error)
    async with asyncio.timeout(30):
        await source.close()
    assert not source.is_saved


async def test_a_slow_sync_stops_no_write(source, disk, monkeypatch):
    """While a sync hangs, frames are written and delivered as before."""
    disk.hang("fdatasync")
    source.append(*frames(1, 1))
    await asyncio.to_thread(disk.hangs.wait, 60)
    for frame in frames(2, 30):
        source.append(frame)
        await asyncio.sleep(0)
    await until(lambda: source.committed_seq == 30)
    assert await collect(source.read, 0, 30) == frames(1, 30)
    source.advance(30)
    assert source.progress.watermark == 0, "progress is not above what is on the disk"
    disk.heal()
    await until(lambda: source.progress.watermark == 30)


async def test_a_bug_in_a_thread_is_told_and_does_not_end_writing(source, monkeypatch):
    """An exception that nobody expected is logged, and writing goes on."""
    work, calls = source.log.write, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) < 3:
            raise ZeroDivisionError("nobody expected this")
        work(*arguments)

    monkeypatch.setattr(source.log, "write", failing)
    source.append(*frames(1, 1))
    await until(lambda: "ZeroDivisionError" in (source.write_error or ""))
    source.append(*frames(2, 2))
    await until(lambda: source.committed_seq == 2)
    await until(lambda: source.write_error is None)
    assert source.is_alive


async def test_a_journal_with_a_dead_thread_is_not_alive(source):
    """The journal is alive only while each of its threads is."""
    assert source.is_alive
    source._syncing.worker.stop()
    await until(lambda: not source.is_alive)
