"""The journal takes frames without waiting and gives them out in order, once each, over restarts."""

import asyncio
import sqlite3
import threading
from itertools import pairwise

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal, journal


@pytest.fixture
def settings(tmp_path):
    """Return settings of a journal in a folder of its own."""
    return JournalSettings(path=tmp_path / "data" / "journal.db")


@pytest.fixture
async def opened(settings):
    """Return what opens a journal; the last one opened is closed at the end."""
    current = []

    async def open_journal(**changes):
        for each in current:
            if each.is_alive:
                await each.close()
        current[:] = [await Journal.open(settings.model_copy(update=changes), losses.append)]
        return current[0]

    losses = open_journal.losses = []
    yield open_journal
    for each in current:
        await each.close()


def frame(number, *, slot=0, raw=None):
    """Return a frame that differs from others."""
    return Received(1000 + number, slot, 7, False, raw or b"frame %d" % number)


async def collect(source, after, count):
    """Read `count` frames behind number `after`."""
    taken = []
    while len(taken) < count:
        block = await source.read(after, 100)
        assert block.first_seq == after + 1
        taken += block.frames
        after = block.last_seq
    return taken


async def test_frames_come_out_in_the_order_they_went_in(opened):
    """Frames appended in bursts and one by one are read in order, from memory or from the file."""
    source = await opened()
    sent = [frame(number) for number in range(1000)]
    for one in sent[:600]:
        source.append(one)
    assert await collect(source, 0, 600) == sent[:600]
    for one in sent[600:]:
        source.append(one)
        await asyncio.sleep(0)
    assert await collect(source, 0, 1000) == sent


async def test_a_reader_waits_for_the_commit(opened):
    """A read with nothing committed behind it returns once something is."""
    source = await opened()
    reading = asyncio.create_task(source.read(0, 10))
    await asyncio.sleep(0)
    assert not reading.done()
    source.append(frame(1))
    assert (await reading).frames == [frame(1)]


async def test_the_file_is_read_where_memory_no_longer_reaches(opened, monkeypatch):
    """A delivery far behind, or gone back, reads the file and then memory, without a hole or a repetition."""
    monkeypatch.setattr(journal, "WINDOW_BYTES", 500)
    monkeypatch.setattr(journal, "FRAMES_A_READ", 37)
    source = await opened()
    sent = [frame(number) for number in range(500)]
    for one in sent:
        source.append(one)
        await asyncio.sleep(0)
    assert await collect(source, 0, 500) == sent
    assert await collect(source, 123, 377) == sent[123:]
    assert await collect(source, 499, 1) == sent[499:]
    for one in sent:
        source.append(one)
    assert await collect(source, 400, 600) == [*sent[400:], *sent]


async def test_a_restart_goes_on_behind_the_watermark(opened):
    """What was finished is remembered; the rest is pending and read again."""
    source = await opened()
    for number in range(10):
        source.append(frame(number))
    await collect(source, 0, 10)
    source.advance(4)
    source = await opened()
    assert (source.watermark, source.last_seq, source.pending) == (4, 10, 6)
    assert (source.received, source.finished) == (10, 4)
    assert await collect(source, source.watermark, 6) == [frame(number) for number in range(4, 10)]


async def test_the_watermark_never_goes_back(opened):
    """An older watermark changes nothing."""
    source = await opened()
    source.append(frame(1))
    source.advance(1)
    source.advance(0)
    assert source.watermark == 1


async def test_progress_is_saved_without_new_frames(opened, settings):
    """The watermark reaches the file within a moment though no frame is appended."""
    source = await opened()
    source.append(frame(1))
    await source.read(0, 1)
    source.advance(1)
    async with asyncio.timeout(5):
        while True:
            with sqlite3.connect(settings.path) as outside:
                saved = outside.execute("SELECT value FROM progress WHERE name = 'watermark'").fetchone()
            outside.close()
            if saved == (1,):
                break
            await asyncio.sleep(0.02)


async def test_a_damaged_row_is_passed_over_and_counted(opened, settings):
    """Of ten frames one is damaged on the disk: nine come out, one is a counted loss."""
    source = await opened()
    for number in range(10):
        source.append(frame(number))
    await source.close()
    with sqlite3.connect(settings.path) as outside:
        outside.execute("UPDATE frame SET raw = x'00' WHERE seq = 4")
    outside.close()
    source = await opened()
    first = await source.read(0, 100)
    second = await source.read(first.last_seq, 100)
    assert [*first.frames, *second.frames] == [frame(number) for number in range(10) if number != 3]
    assert source.lost == {"corrupt": 1}
    source.advance(10)
    assert source.received == source.finished + source.pending + source.lost["corrupt"] == 10


async def test_keys_are_there_before_the_frame_that_needs_them(opened):
    """A session's keys come newest first, at once and after a restart."""
    source = await opened()
    source.keep_key(0, 7, CipherKey("a" * 32, "b" * 16))
    source.keep_key(0, 7, CipherKey("c" * 32, "d" * 16))
    source.append(frame(1))
    expected = [CipherKey("c" * 32, "d" * 16), CipherKey("a" * 32, "b" * 16)]
    assert list(source.keys(0, 7)) == expected
    await source.read(0, 1)
    source = await opened()
    assert list(source.keys(0, 7)) == expected
    assert list(source.keys(1, 7)) == []


async def test_the_reader_waits_when_a_commit_is_overdue(opened, monkeypatch):
    """With too many frames uncommitted the journal says so, and its room comes with the commit."""
    monkeypatch.setattr(journal, "UNCOMMITTED_FRAMES", 3)
    source = await opened()
    for number in range(5):
        source.append(frame(number))
    assert source.is_behind
    async with asyncio.timeout(5):
        await source.room()
    assert not source.is_behind


async def test_frames_in_the_file_are_counted_delivered_ones_included(opened, monkeypatch):
    """What is kept is what was committed and not pruned; these frames are old enough to go once they are delivered."""
    monkeypatch.setattr(journal, "HOUSEKEEPING_SECONDS", 0.01)
    source = await opened()
    assert source.kept == 0
    for number in range(5):
        source.append(frame(number))
    await collect(source, 0, 5)
    async with asyncio.timeout(10):
        while source.kept != 5:
            await asyncio.sleep(0.01)
        source.advance(3)
        while source.kept != 2:
            await asyncio.sleep(0.01)


async def test_a_full_journal_counts_what_it_cannot_take(opened):
    """When undelivered frames fill it the newest are lost, counted by reason, and reported with their extent."""
    source = await opened(max_bytes=200_000)
    for number in range(400):
        source.append(frame(number, slot=number % 2, raw=bytes(1000)))
    lost = source.lost["journal_full"]
    assert 0 < lost < 400
    assert source.received == 400
    assert source.received == source.finished + source.pending + lost
    async with asyncio.timeout(10):
        while not opened.losses:
            await asyncio.sleep(0.02)
    assert sum(loss.frames for loss in opened.losses) == lost
    assert sum(loss.bytes for loss in opened.losses) == lost * 1000
    assert {loss.slot for loss in opened.losses} == {0, 1}


async def test_a_loss_that_goes_on_is_told_of_meanwhile(opened, monkeypatch):
    """Who reads the events need not wait for the end of a loss to know that there is one."""
    monkeypatch.setattr(journal, "LOSING_SECONDS", 0.05)
    monkeypatch.setattr(journal, "HOUSEKEEPING_SECONDS", 0.02)
    source = await opened(max_bytes=50_000)
    appended = 0
    async with asyncio.timeout(10):
        while len(opened.losses) < 3:
            source.append(frame(appended, raw=bytes(1000)))
            appended += 1
            await asyncio.sleep(0.001)
    source.report_losses()
    assert sum(loss.frames for loss in opened.losses) == source.lost["journal_full"]
    assert all(one.to_ns < other.from_ns for one, other in pairwise(opened.losses))


async def test_a_loss_not_told_of_is_by_the_next_process(opened):
    """A stop amid a loss, and what the next process loses too, come to one report."""
    source = await opened(max_bytes=100_000)
    for number in range(200):
        source.append(frame(number, raw=bytes(1000)))
    assert opened.losses == []
    before = source.lost["journal_full"]
    source = await opened(max_bytes=100_000)
    for number in range(200, 220):
        source.append(frame(number, raw=bytes(1000)))
    source.report_losses()
    (loss,) = opened.losses
    lost = source.lost["journal_full"]
    assert lost > before > 0
    assert (loss.frames, loss.bytes) == (lost, 1000 * lost)
    assert (loss.from_ns, loss.to_ns) == (1000 + 200 - before, 1000 + 219)
    opened.losses.clear()
    source = await opened(max_bytes=100_000)
    source.report_losses()
    assert opened.losses == []


@pytest.mark.parametrize("kept", ["no JSON", "[1]", "{}", '[["one"]]'])
async def test_kept_losses_that_cannot_be_read_hold_nothing_up(opened, kept):
    """The frames are counted all the same, and the journal opens."""
    await (await opened()).remember("losses", kept)
    (await opened()).report_losses()
    assert opened.losses == []


@pytest.mark.slow
async def test_delivered_frames_give_way_before_anything_is_lost(opened):
    """A journal that is full of delivered frames prunes them and takes new ones."""
    source = await opened(max_bytes=400_000)
    done = 0
    async with asyncio.timeout(30):
        for number in range(2000):
            source.append(frame(number, raw=bytes(1000)))
            while source.used_bytes + source._since_measured > 300_000:
                done = (await source.read(done, 1000)).last_seq if source.committed_seq > done else done
                source.advance(done)
                await asyncio.sleep(0.02)
    assert source.lost == {}
    assert source.received == 2000


async def test_a_failing_disk_delays_frames_and_loses_none(opened, monkeypatch):
    """While commits fail frames wait in memory; once one succeeds they are all there, in order."""
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.01)
    source = await opened()
    insert, failures = source._file.insert, iter(range(3))

    def failing(*arguments):
        if next(failures, None) is not None:
            raise sqlite3.OperationalError("disk I/O error")
        insert(*arguments)

    monkeypatch.setattr(source._file, "insert", failing)
    sent = [frame(number) for number in range(50)]
    for one in sent:
        source.append(one)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while source.write_error is None:
            await asyncio.sleep(0.005)
        assert await collect(source, 0, 50) == sent
        while source.write_error is not None:
            await asyncio.sleep(0.005)
    assert source.committed_seq == 50


class Failing(sqlite3.OperationalError):
    """What SQLite raises, with its code."""

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.sqlite_errorcode = code


@pytest.fixture
async def full(opened, monkeypatch):
    """Return a journal whose disk is full until `full.heal()`."""
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.01)
    source = await opened()
    insert = source._file.insert
    source.is_full = True

    def failing(*arguments):
        if source.is_full:
            raise Failing(sqlite3.SQLITE_FULL)
        insert(*arguments)

    monkeypatch.setattr(source._file, "insert", failing)
    return source


def assert_law(source):
    """Every frame received is finished, pending or lost."""
    assert source.received == source.finished + source.pending + sum(source.lost.values())


async def test_while_the_disk_is_full_frames_are_shipped_from_memory(full):
    """Both ways of reading give them; those Kafka has leave the memory, and numbering goes on over a restart."""
    for number in range(20):
        full.append(frame(number))
    assert await collect(full, 0, 20) == [frame(number) for number in range(20)]
    assert (await full.read_again(4, 9, 100)).frames == [frame(number) for number in range(4, 9)]
    full.advance(15)
    async with asyncio.timeout(5):
        while len(full._frames) > 5:
            await asyncio.sleep(0.005)
    assert full._frames_bytes == sum(len(one.raw) for one in full._frames)
    full.append(frame(20))
    assert await collect(full, 15, 6) == [frame(number) for number in range(15, 21)]
    assert_law(full)


async def test_a_disk_that_recovers_gets_what_is_unfinished_in_order(full, opened):
    """Over a restart the numbers go on, and what Kafka has is not there to be sent again."""
    for number in range(20):
        full.append(frame(number))
    await collect(full, 0, 20)
    full.advance(15)
    full.is_full = False
    async with asyncio.timeout(5):
        while full.write_error is not None:
            await asyncio.sleep(0.005)
    again = await opened()
    assert (again.watermark, again.last_seq, again.pending) == (15, 20, 5)
    assert await collect(again, 15, 5) == [frame(number) for number in range(15, 20)]
    assert_law(again)


async def test_when_everything_was_shipped_from_memory_the_next_start_goes_on_behind_it(full, opened):
    """The watermark alone tells the numbers that were given."""
    for number in range(20):
        full.append(frame(number))
    await collect(full, 0, 20)
    full.advance(20)
    full.is_full = False
    again = await opened()
    assert (again.watermark, again.last_seq, again.pending) == (20, 20, 0)
    again.append(frame(20))
    assert await collect(again, 20, 1) == [frame(20)]
    assert_law(again)


async def test_memory_is_bounded_while_nothing_leaves(full, monkeypatch):
    """Beyond the bound the newest frames are counted losses of the disk."""
    monkeypatch.setattr(journal, "UNCOMMITTED_BYTES", 100)
    for number in range(20):
        full.append(frame(number, raw=b"x" * 10))
    assert full.lost == {"disk": 10}
    assert full.last_seq == 10
    assert_law(full)


async def test_a_small_text_waits_for_the_disk(opened, monkeypatch):
    """Keeping the lists must not end the connector because the disk is full."""
    source = await opened()
    monkeypatch.setattr(journal, "HOUSEKEEPING_SECONDS", 0.02)
    keep, failures = source._file.keep, iter(range(2))

    def failing(*arguments):
        if next(failures, None) is not None:
            raise Failing(sqlite3.SQLITE_FULL)
        keep(*arguments)

    monkeypatch.setattr(source._file, "keep", failing)
    await source.remember("lists", "{}")
    async with asyncio.timeout(5):
        while await source.recall("lists") != "{}":
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("where", ["insert", "checkpoint", "read"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT])
async def test_an_unfit_file_is_set_aside_and_the_frames_are_in_the_new_one(opened, settings, monkeypatch, code, where):
    """A failed sync, or damage met on the way, ends the file: nothing is lost, order stays, the old file is there and private."""
    monkeypatch.setattr(journal, "HOUSEKEEPING_SECONDS", 0.02)
    monkeypatch.setattr(journal, "CHECKPOINT_SECONDS", 0.0)
    source = await opened()
    for number in range(30):
        source.append(frame(number))
    await collect(source, 0, 30)
    source.advance(10)
    first = source._file

    def failing(*_):
        raise Failing(code)

    monkeypatch.setattr(first, where, failing)
    source._clear_window(10)
    for number in range(30, 60):
        source.append(frame(number))
    assert await collect(source, 10, 50) == [frame(number) for number in range(10, 60)]
    async with asyncio.timeout(5):
        while source._file is first or source.write_error:
            await asyncio.sleep(0.01)
    assert source.set_aside == 1
    assert source.lost == {}
    assert_law(source)
    again = await opened()
    assert await collect(again, 10, 50) == [frame(number) for number in range(10, 60)]
    assert_law(again)
    (aside,) = [
        path for path in settings.path.parent.glob("journal.db.corrupt-*") if not path.name.endswith(("-wal", "-shm"))
    ]
    assert aside.stat().st_mode & 0o777 == 0o600


async def test_a_damaged_row_is_counted_once_over_rereading_and_restarts(opened, settings):
    """However often it is met, the law holds."""
    source = await opened()
    for number in range(10):
        source.append(frame(number))
    await source.close()
    with sqlite3.connect(settings.path) as outside:
        outside.execute("UPDATE frame SET raw = x'00' WHERE seq = 4")
    outside.close()
    for _ in range(2):
        source = await opened()
        await source.read(3, 100)
        await asyncio.gather(*(source.read_again(3, 10, 100) for _ in range(3)))
        assert (await source.read_again(3, 4, 100)).last_seq == 4
        assert source.lost == {"corrupt": 1}


async def test_a_large_file_is_checked_beside_the_capturing_after_an_unclean_end(opened, settings, monkeypatch):
    """Damage that no read met is found, and the file replaced; what could not be read is a loss of known extent."""
    monkeypatch.setattr("connector.shell.journal.file.CHECKED_AT_OPEN_BYTES", 0)
    source = await opened()
    for number in range(3000):
        source.append(frame(number, raw=b"%0200d" % number))
    await collect(source, 0, 3000)
    await source.close()
    content = bytearray(settings.path.read_bytes())
    page = next(place for place in range(40 * 4096, len(content), 4096) if content[place] == 13)  # a leaf of the table
    content[page : page + 4096] = b"\xff" * 4096
    settings.path.write_bytes(content)
    with sqlite3.connect(settings.path) as outside:
        outside.execute("UPDATE kept SET value = 'no' WHERE name = 'closed_cleanly'")
    outside.close()
    source = await opened()
    async with asyncio.timeout(10):
        while not source.set_aside or not opened.losses:
            await asyncio.sleep(0.02)
    lost = source.lost["corrupt"]
    assert 0 < lost < 40
    assert [(loss.reason, loss.frames) for loss in opened.losses] == [("corrupt", lost)]
    taken, after = 0, 0
    while after < 3000:
        block = await source.read(after, 1000)
        taken, after = taken + len(block.frames), block.last_seq
    assert taken == 3000 - lost
    source.advance(3000)
    assert_law(source)


async def test_a_checkpoint_follows_within_seconds_at_any_rate(opened, settings, monkeypatch):
    """A single frame reaches the database file itself, not only SQLite's log, without more frames to push it."""
    monkeypatch.setattr(journal, "HOUSEKEEPING_SECONDS", 0.02)
    source = await opened()
    source.append(frame(1, raw=b"the only frame of the day"))
    await source.read(0, 1)
    async with asyncio.timeout(10):
        while b"the only frame of the day" not in await asyncio.to_thread(settings.path.read_bytes):
            await asyncio.sleep(0.02)


async def test_small_texts_are_kept(opened):
    """What is remembered under a name is recalled after a restart."""
    source = await opened()
    await source.remember("lists", "{}")
    source = await opened()
    assert await source.recall("lists") == "{}"


async def test_a_close_waits_for_a_read_under_way(opened):
    """A connection closed under a reading thread would crash the process."""
    source = await opened()
    under_way = threading.Event()
    source._reader.submit(under_way.wait, 10)
    closing = asyncio.create_task(source.close())
    await asyncio.sleep(0.2)
    assert not closing.done()
    under_way.set()
    async with asyncio.timeout(5):
        await closing
    await opened()


def held(monkeypatch, file, method):
    """Let a method of a journal's file wait, before it does its work, until the event returned is set."""
    going_on, work = threading.Event(), getattr(file, method)

    def waiting(*arguments):
        assert going_on.wait(20)
        return work(*arguments)

    monkeypatch.setattr(file, method, waiting)
    return going_on


async def until(condition):
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_frames_and_texts_that_come_while_a_file_is_replaced_are_in_the_new_one(opened, monkeypatch):
    """Whatever found the damage: once the window is gone the file has them all, and so it has after a restart."""
    source = await opened()
    for number in range(5):
        source.append(frame(number))
    await collect(source, 0, 5)
    old = source._file
    going_on = held(monkeypatch, old, "replaced")
    replacing = asyncio.create_task(source._replace(old, sqlite3.DatabaseError("damaged")))
    await until(source._file_lock.locked)
    source.append(frame(5))
    source.append(frame(6))
    remembering = asyncio.create_task(source.remember("lists", "{}"))
    assert await collect(source, 5, 2) == [frame(5), frame(6)], "capture and delivery do not wait for it"
    going_on.set()
    await asyncio.gather(replacing, remembering)
    source.append(frame(7))
    await until(lambda: source.committed_seq == 8)
    source._clear_window(0)
    assert await collect(source, 0, 8) == [frame(number) for number in range(8)]
    again = await opened()
    assert await collect(again, 0, 8) == [frame(number) for number in range(8)]
    assert await again.recall("lists") == "{}"
    assert again.lost == {}


async def test_a_replacement_goes_on_when_who_asked_for_it_is_cancelled(opened, monkeypatch):
    """A stop in its midst commits what is left to the new file, which the next start finds in the place of the old one."""
    source = await opened()
    source.append(frame(0))
    await collect(source, 0, 1)
    going_on = held(monkeypatch, source._file, "replaced")
    replacing = asyncio.create_task(source._replace(source._file, sqlite3.DatabaseError("damaged")))
    await until(source._file_lock.locked)
    replacing.cancel()
    source.append(frame(1))
    closing = asyncio.create_task(source.close())
    await asyncio.sleep(0.01)
    going_on.set()
    await closing
    assert await collect(await opened(), 0, 2) == [frame(0), frame(1)]


async def damaged(opened, settings, count, where):
    """Return a journal of that many frames, reopened after those `where` says were damaged on the disk."""
    source = await opened()
    for number in range(count):
        source.append(frame(number))
    await source.close()
    with sqlite3.connect(settings.path) as outside:
        outside.execute(f"UPDATE frame SET raw = x'00' WHERE {where}")
    outside.close()
    return await opened()


async def test_damaged_last_rows_are_passed_without_a_further_frame(opened, settings):
    """A reader gets to the end of what is there, now and after a restart."""
    source = await damaged(opened, settings, 5, "seq > 3")
    for _ in range(2):
        async with asyncio.timeout(5):
            after = 0
            while after < 5:
                after = (await source.read(after, 100)).last_seq
        assert source.lost == {"corrupt": 2}
        assert_law(source)
        source = await opened()
    source.advance(5)
    assert (source.finished, source.pending) == (3, 0)


async def test_no_frame_behind_many_damaged_ones_is_passed_over(opened, settings, monkeypatch):
    """More damaged rows in a row than one read looks at hide nothing, in either way of reading."""
    monkeypatch.setattr(journal, "FRAMES_A_READ", 4)
    source = await damaged(opened, settings, 20, "seq BETWEEN 3 AND 15")
    for read in (source.read, lambda after, limit: source.read_again(after, 20, limit)):
        taken, after = [], 0
        async with asyncio.timeout(5):
            while after < 20:
                block = await read(after, 4)
                taken, after = [*taken, *block.frames], block.last_seq
        assert taken == [frame(number) for number in (0, 1, *range(15, 20))]


async def test_finished_never_falls(opened, settings):
    """Damage met ahead of the watermark is lost and no more pending at once; the law holds at each step, over restarts."""
    source = await damaged(opened, settings, 10, "seq IN (4, 5, 9)")
    finished = [source.finished]
    for watermark in (0, 2, 4, 7, 10):
        after = source.watermark
        while after < 10:
            after = (await source.read(after, 100)).last_seq
        finished.append(source.finished)
        assert_law(source)
        source.advance(watermark)
        finished.append(source.finished)
        assert_law(source)
        source = await opened()
        finished.append(source.finished)
        assert_law(source)
    assert finished == sorted(finished)
    assert (finished[0], finished[-1], source.pending) == (0, 7, 0)


async def test_what_a_replacement_lost_is_counted_once(opened, settings):
    """Rows that are gone are missing in each further file; only the first replacement counts them, and they are pending no more."""
    source = await damaged(opened, settings, 10, "seq = 1")
    with sqlite3.connect(settings.path) as outside:
        outside.execute("DELETE FROM frame WHERE seq IN (4, 5, 10)")
    outside.close()
    for _ in range(2):
        await source._replace(source._file, sqlite3.DatabaseError("damaged"))
        assert source.lost == {"corrupt": 3}
        assert (source.finished, source.pending) == (0, 7)
    source = await opened()
    assert (source.lost, source.finished, source.pending) == ({"corrupt": 3}, 0, 7)


async def test_a_commit_that_hangs_over_a_close_is_not_made_twice(opened, settings, monkeypatch):
    """The close waits for it, and the last progress is saved."""
    wait = asyncio.wait
    monkeypatch.setattr(journal.asyncio, "wait", lambda tasks, timeout=None: wait(tasks, timeout=timeout and 0.01))
    source = await opened()
    going_on = held(monkeypatch, source._file, "insert")
    source.append(frame(0))
    await until(source._file_lock.locked)
    source.append(frame(1))
    source.advance(1)
    closing = asyncio.create_task(source.close())
    await asyncio.sleep(0.05)
    going_on.set()
    await closing
    with sqlite3.connect(settings.path) as outside:  # an opened journal may prune what is finished at once
        rows = outside.execute("SELECT seq, raw FROM frame ORDER BY seq").fetchall()
    outside.close()
    assert rows == [(1, frame(0).raw), (2, frame(1).raw)]
    again = await opened()
    assert (again.watermark, again.last_seq) == (1, 2)
    assert await collect(again, 1, 1) == [frame(1)]
