"""The journal accepts frames without waiting and returns them once, in order, over restarts."""

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
    """Return settings of a journal in its own folder."""
    return JournalSettings(path=tmp_path / "data" / "journal.db")


@pytest.fixture
async def opened(settings):
    """Return a function that opens a journal; the last one opened is closed at the end."""
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
    """Return a frame that differs from all others."""
    return Received(1000 + number, slot, 7, False, raw or b"frame %d" % number)


async def collect(source, after, count):
    """Read `count` frames after number `after`."""
    taken = []
    while len(taken) < count:
        block = await source.read(after, 100)
        assert block.first_seq == after + 1
        taken += block.frames
        after = block.last_seq
    return taken


async def test_frames_come_out_in_the_order_they_went_in(opened):
    """Frames appended in bursts or one by one are read in order, from memory or the file."""
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
    """A read with nothing committed after `after` waits for the next commit."""
    source = await opened()
    reading = asyncio.create_task(source.read(0, 10))
    await asyncio.sleep(0)
    assert not reading.done()
    source.append(frame(1))
    assert (await reading).frames == [frame(1)]


async def test_the_file_is_read_where_memory_no_longer_reaches(opened, monkeypatch):
    """A reader of old frames reads the file and then memory, with no hole and no repetition."""
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


async def test_a_restart_goes_on_after_the_watermark(opened):
    """After a restart, frames above the watermark are pending and are read again."""
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
    """A lower watermark changes nothing."""
    source = await opened()
    source.append(frame(1))
    source.advance(1)
    source.advance(0)
    assert source.watermark == 1


async def test_progress_is_saved_without_new_frames(opened, settings):
    """The watermark is saved within a moment even if no frame is appended."""
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
    """If one of ten frames is damaged, nine are read and one is a counted loss."""
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
    """With too many uncommitted frames a commit is overdue, and `room` waits for it."""
    monkeypatch.setattr(journal, "UNCOMMITTED_FRAMES", 3)
    source = await opened()
    for number in range(5):
        source.append(frame(number))
    assert source.is_overdue
    async with asyncio.timeout(5):
        await source.room()
    assert not source.is_overdue


async def test_frames_in_the_file_are_counted_delivered_ones_included(opened, monkeypatch):
    """`kept` counts frames in the file until they are delivered, old and pruned."""
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
    """When undelivered frames fill the journal, the newest are lost, counted and reported."""
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


async def test_a_frame_whose_dead_letter_was_refused_is_lost_over_a_restart(opened):
    """Such a frame is neither finished nor pending, its loss is reported, and the law holds."""
    source = await opened()
    frames = [frame(number) for number in range(3)]
    for one in frames:
        source.append(one)
    source.lose(frames[1])
    source.advance(2)
    assert (source.received, source.finished, source.pending, source.lost) == (3, 1, 1, {"dead_letter_refused": 1})
    source = await opened()
    assert (source.received, source.finished, source.pending, source.lost) == (3, 1, 1, {"dead_letter_refused": 1})
    source.report_losses()
    assert [(loss.reason, loss.frames, loss.from_ns) for loss in opened.losses] == [
        ("dead_letter_refused", 1, frames[1].received_ns)
    ]


async def test_a_loss_that_goes_on_is_reported_meanwhile(opened, monkeypatch):
    """A loss that goes on is reported before it ends."""
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


async def test_an_unreported_loss_is_reported_by_the_next_process(opened):
    """Losses unreported at a stop are merged with the next process's and reported once."""
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
async def test_unreadable_saved_losses_do_not_stop_a_start(opened, kept):
    """The journal opens, and counts the frames, if the saved losses are unreadable."""
    await (await opened()).save("losses", kept)
    (await opened()).report_losses()
    assert opened.losses == []


@pytest.mark.slow
async def test_delivered_frames_give_way_before_anything_is_lost(opened):
    """A journal full of delivered frames prunes them and accepts new ones."""
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
    """While commits fail, frames wait in memory; a later commit has all of them, in order."""
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
    """SQLite's error with an error code."""

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.sqlite_errorcode = code


@pytest.fixture
async def full(opened, monkeypatch):
    """Return a journal on a full disk; `full.heal()` makes room."""
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
    """Check that every received frame is finished, pending or lost."""
    assert source.received == source.finished + source.pending + sum(source.lost.values())


async def test_while_the_disk_is_full_frames_are_delivered_from_memory(full):
    """Both reads return frames from memory; delivered ones leave it, and numbers go on."""
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
    """A recovered disk gets only undelivered frames; numbers go on over a restart."""
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


async def test_numbers_go_on_when_all_frames_were_delivered_from_memory(full, opened):
    """If all frames were delivered from memory, the watermark alone continues the numbers."""
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
    """Frames above the limit of memory are counted losses with reason `disk`."""
    monkeypatch.setattr(journal, "UNCOMMITTED_BYTES", 100)
    for number in range(20):
        full.append(frame(number, raw=b"x" * 10))
    assert full.lost == {"disk": 10}
    assert full.last_seq == 10
    assert_law(full)


async def test_a_small_text_waits_for_the_disk(opened, monkeypatch):
    """A text that a full disk refuses is saved later, and does not end the connector."""
    source = await opened()
    monkeypatch.setattr(journal, "HOUSEKEEPING_SECONDS", 0.02)
    save, failures = source._file.save, iter(range(2))

    def failing(*arguments):
        if next(failures, None) is not None:
            raise Failing(sqlite3.SQLITE_FULL)
        save(*arguments)

    monkeypatch.setattr(source._file, "save", failing)
    await source.save("lists", "{}")
    async with asyncio.timeout(5):
        while await source.saved("lists") != "{}":
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("where", ["insert", "checkpoint", "read"])
@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT])
async def test_an_unfit_file_is_set_aside_and_the_frames_are_in_the_new_one(opened, settings, monkeypatch, code, where):
    """After a failed sync or damage, a new file has all frames; the old one stays, private."""
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
    """A damaged row counts once, however often it is read."""
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
    """The check finds damage no read has met, and replaces the file with a counted loss."""
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
    """Even a single frame soon reaches the database file, not only SQLite's log."""
    monkeypatch.setattr(journal, "HOUSEKEEPING_SECONDS", 0.02)
    source = await opened()
    source.append(frame(1, raw=b"the only frame of the day"))
    await source.read(0, 1)
    async with asyncio.timeout(10):
        while b"the only frame of the day" not in await asyncio.to_thread(settings.path.read_bytes):
            await asyncio.sleep(0.02)


async def test_small_texts_are_saved(opened):
    """A text saved under a name can be read after a restart."""
    source = await opened()
    await source.save("lists", "{}")
    source = await opened()
    assert await source.saved("lists") == "{}"


async def test_a_close_waits_for_a_read_under_way(opened):
    """A close waits for a running read: otherwise the process would crash."""
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
    """Make a method of a journal's file wait, before its work, until the event is set."""
    going_on, work = threading.Event(), getattr(file, method)

    def waiting(*arguments):
        assert going_on.wait(20)
        return work(*arguments)

    monkeypatch.setattr(file, method, waiting)
    return going_on


async def until(condition):
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_frames_and_texts_that_come_while_a_file_is_replaced_are_in_the_new_one(opened, monkeypatch):
    """Frames and texts that arrive during a replacement are in the new file."""
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
    saving = asyncio.create_task(source.save("lists", "{}"))
    assert await collect(source, 5, 2) == [frame(5), frame(6)], "capture and delivery do not wait for it"
    going_on.set()
    await asyncio.gather(replacing, saving)
    source.append(frame(7))
    await until(lambda: source.committed_seq == 8)
    source._clear_window(0)
    assert await collect(source, 0, 8) == [frame(number) for number in range(8)]
    again = await opened()
    assert await collect(again, 0, 8) == [frame(number) for number in range(8)]
    assert await again.saved("lists") == "{}"
    assert again.lost == {}


async def test_a_replacement_goes_on_when_its_caller_is_cancelled(opened, monkeypatch):
    """A stop during a replacement commits the rest to the new file, which the next start uses."""
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
    """Return a reopened journal of `count` frames, with rows damaged on the disk."""
    source = await opened()
    for number in range(count):
        source.append(frame(number))
    await source.close()
    with sqlite3.connect(settings.path) as outside:
        outside.execute(f"UPDATE frame SET raw = x'00' WHERE {where}")
    outside.close()
    return await opened()


async def test_damaged_last_rows_are_passed_without_a_further_frame(opened, settings):
    """A reader passes damaged last rows without a further frame, also after a restart."""
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


async def test_a_frame_after_many_damaged_ones_is_found(opened, settings, monkeypatch):
    """Both reads find the frame after more damaged rows than one read returns."""
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
    """Damage above the watermark becomes a loss at once; the law holds over restarts."""
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
    """Of several replacements only the first counts the frames that were lost."""
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
    """A close waits for a hanging commit, and saves the last progress."""
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
    with sqlite3.connect(settings.path) as outside:  # an open journal may prune finished frames at once
        rows = outside.execute("SELECT seq, raw FROM frame ORDER BY seq").fetchall()
    outside.close()
    assert rows == [(1, frame(0).raw), (2, frame(1).raw)]
    again = await opened()
    assert (again.watermark, again.last_seq) == (1, 2)
    assert await collect(again, 1, 1) == [frame(1)]
