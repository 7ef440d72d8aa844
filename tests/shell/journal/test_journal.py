"""The journal accepts frames without waiting and returns them once, in order, over restarts."""

import asyncio
from itertools import pairwise

from connector.core.cipher_key import CipherKey
from connector.core.journal.state import unsealed
from connector.shell.journal import frame_source, syncing
from tests.shell.journal.frames import assert_law, collect, frame, until


async def test_frames_come_out_in_the_order_they_went_in(opened):
    """Frames appended in bursts or one by one are read in order, from memory or the log."""
    source = await opened()
    sent = [frame(number) for number in range(1000)]
    for one in sent[:600]:
        source.append(one)
    assert await collect(source.read, 0, 600) == sent[:600]
    for one in sent[600:]:
        source.append(one)
        await asyncio.sleep(0)
    assert await collect(source.read, 0, 1000) == sent


async def test_a_reader_waits_for_the_write(opened):
    """A read with nothing written after `after` waits for the next write."""
    source = await opened()
    reading = asyncio.create_task(source.read(0, 10))
    await asyncio.sleep(0)
    assert not reading.done()
    source.append(frame(1))
    assert (await reading).frames == [frame(1)]
    assert source.committed_seq == 1


async def test_the_log_is_read_where_memory_no_longer_reaches(opened, monkeypatch):
    """A reader of old frames reads the log and then memory, with no hole and no repetition."""
    monkeypatch.setattr(frame_source, "FRAMES_A_READ", 37)
    monkeypatch.setattr(syncing, "PROGRESS_SECONDS", 0.01)
    source = await opened(max_bytes=200_000)
    sent = [frame(number, raw=b"%0100d" % number) for number in range(500)]
    for one in sent:
        source.append(one)
        await asyncio.sleep(0)
    assert await collect(source.read, 0, 500) == sent
    waiting = asyncio.create_task(source.read(500, 1))  # so that the journal knows: all were read
    await until(lambda: source.memory.floor >= 400)
    waiting.cancel()
    assert await collect(source.read, 123, 500) == sent[123:]
    assert await collect(source.read, 499, 500) == sent[499:]
    for one in sent:
        source.append(one)
    assert await collect(source.read, 400, 1000) == [*sent[400:], *sent]


async def test_a_restart_goes_on_after_the_watermark(opened):
    """After a restart, frames above the watermark are pending and are read again."""
    source = await opened()
    for number in range(10):
        source.append(frame(number))
    await collect(source.read, 0, 10)
    source.advance(4)
    source = await opened()
    assert (source.watermark, source.last_seq, source.pending) == (4, 10, 6)
    assert (source.received, source.finished) == (10, 4)
    assert await collect(source.read, source.watermark, 10) == [frame(number) for number in range(4, 10)]


async def test_the_watermark_never_goes_back(opened):
    """A lower watermark changes nothing, and one above the last frame goes no further."""
    source = await opened()
    source.append(frame(1))
    source.advance(1)
    source.advance(0)
    assert source.watermark == 1
    source.advance(5)
    assert source.watermark == 1


async def test_progress_is_saved_without_new_frames(opened, tmp_path):
    """The watermark and each lane's are saved within a moment even if no frame is appended."""
    source = await opened()
    source.append(frame(1))
    source.append(frame(2))
    await collect(source.read, 0, 2)
    source.watch_lanes(lambda: {"bond.ticks/0": 1, "bond.ticks/1": 2, "bond.ticks/2": 9})
    source.advance(1)
    progress = tmp_path / "journal" / "progress"
    await until(lambda: progress.exists() and unsealed(progress.read_bytes())["watermark"] == 1)
    assert unsealed(progress.read_bytes())["lanes"] == {"bond.ticks/1": 2, "bond.ticks/2": 2}, (
        "none above the last synced"
    )
    source = await opened()
    assert source.lanes_at_start == {"bond.ticks/1": 2, "bond.ticks/2": 2}


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


async def test_no_key_goes_at_a_restart_while_frames_of_its_session_are_pending(opened):
    """A key stays until all frames from before the restart are finished."""
    older, newer, newest = (CipherKey(letter * 32, letter * 16) for letter in "abc")
    source = await opened()
    for number in range(1, 6):
        source.append(frame(number))
    source.advance(5)
    await until(lambda: source.progress.watermark == 5)
    source.log.seal()
    source.keep_key(0, 7, older)  # before the next segment begins, so both are in its head
    for number in range(6, 11):
        source.append(frame(number))
    source.keep_key(0, 8, newer)
    source.append(frame(11))
    source = await opened()
    assert (source.watermark, source.pending) == (5, 6)
    source.keep_key(0, 9, newest)
    source.append(frame(12))
    await until(lambda: source.committed_seq == 12)
    assert list(source.keys(0, 7)) == [older]
    source.advance(11)
    await until(lambda: source.progress.watermark == 11)
    source.append(frame(13))
    await until(lambda: source.committed_seq == 13)
    assert [list(source.keys(0, session)) for session in (7, 8, 9)] == [[], [], [newest]]


async def test_a_key_that_comes_after_its_frame_survives_a_restart(opened):
    """A key alone is written too: the frame that needs it may be there already."""
    source = await opened()
    source.append(frame(1))
    await source.on_disk(10)
    source.keep_key(0, 7, CipherKey("a" * 32, "b" * 16))
    source = await opened()
    assert list(source.keys(0, 7)) == [CipherKey("a" * 32, "b" * 16)]


async def test_what_comes_in_one_turn_of_the_loop_keeps_its_order(opened):
    """A key and a loss between frames cost no frame, before or after a restart."""
    source, key = await opened(), CipherKey("a" * 32, "b" * 16)
    source.append(frame(1))
    source.keep_key(0, 7, key)
    source.append(frame(2))
    source.give_up(frame(3), "disk")
    source.append(frame(4))
    for _ in range(2):
        assert await collect(source.read, 0, 4) == [frame(1), frame(2), frame(4)]
        assert (source.received, source.pending, source.lost) == (4, 3, {"disk": 1})
        assert list(source.keys(0, 7)) == [key]
        source = await opened()


async def test_a_full_journal_first_forgets_what_was_delivered(opened, monkeypatch):
    """If delivered frames fill it, progress is saved at once, and they go: nothing is lost."""
    monkeypatch.setattr(syncing, "PROGRESS_SECONDS", 60)
    source, number = await opened(max_bytes=200_000, sync_seconds=60), 0
    async with asyncio.timeout(30):
        while number < 600:
            for _ in range(20):
                source.append(frame(number, raw=bytes(1000)))
                number += 1
            await collect(source.read, number - 20, number)
            source.advance(number)
    assert source.lost == {}
    assert source.used_bytes <= 200_000


async def test_the_reader_of_the_feed_gives_the_loop_a_turn(opened):
    """After every so many frames the reader of the feed has to wait, for one turn of the loop."""
    source, overdue, turns = await opened(), [], []
    asyncio.get_running_loop().call_soon(turns.append, 1)
    for number in range(1, 1001):
        source.append(frame(number))
        if source.is_overdue:
            overdue.append(number)
    assert overdue == [256, 512, 768]
    assert turns == []
    await source.room()
    assert turns == [1]


async def test_readers_of_many_feeds_give_the_loop_as_many_turns_as_one(opened):
    """Between two turns of the loop, 25 readers together append hardly more than one would."""
    source, appended_by = await opened(), [0]

    async def count():
        while appended_by[-1] < 25 * 400:
            appended_by.append(source.received)
            await asyncio.sleep(0)

    async def feed(slot):
        for number in range(400):
            source.append(frame(number, slot=slot))
            if source.is_overdue:
                await source.room()

    await asyncio.gather(count(), *map(feed, range(25)))
    steps = [after - before for before, after in pairwise(appended_by)]
    assert max(steps) <= 2 * 256
    assert source.received == 25 * 400


async def test_a_full_journal_counts_what_it_cannot_take(opened):
    """When undelivered frames fill the journal, the newest are lost, counted and reported."""
    source = await opened(max_bytes=200_000)
    for number in range(400):
        source.append(frame(number, slot=number % 2, raw=bytes(1000)))
    await until(lambda: opened.losses)
    lost = source.lost["journal_full"]
    assert 0 < lost < 400
    assert source.received == 400
    assert_law(source)
    assert sum(loss.frames for loss in opened.losses) == lost
    assert sum(loss.bytes for loss in opened.losses) == lost * 1000
    assert {loss.slot for loss in opened.losses} == {0, 1}
    assert len(await collect(source.read, 0, 400)) == 400 - lost
    again = await opened(max_bytes=200_000)
    assert (again.lost, again.received, again.pending) == ({"journal_full": lost}, 400, 400 - lost)
    assert len(await collect(again.read, 0, 400)) == 400 - lost
    again.advance(400)
    assert (again.finished, again.pending) == (400 - lost, 0)


async def test_a_frame_whose_dead_letter_was_refused_is_lost_over_a_restart(opened):
    """Such a frame is neither finished nor pending, its loss is reported, and the law holds."""
    source = await opened()
    frames = [frame(number) for number in range(3)]
    for one in frames:
        source.append(one)
    source.lose(2, frames[1])
    source.advance(2)
    for _ in range(2):
        assert (source.received, source.finished, source.pending) == (3, 1, 1)
        assert source.lost == {"dead_letter_refused": 1}
        source = await opened()
    source.report_losses()
    assert [(loss.reason, loss.frames, loss.from_ns) for loss in opened.losses] == [
        ("dead_letter_refused", 1, frames[1].received_ns)
    ]


async def test_small_texts_are_saved(opened):
    """A text saved under a name can be read after a restart."""
    source = await opened()
    await source.save("lists", "{}")
    source = await opened()
    assert await source.saved("lists") == "{}"
