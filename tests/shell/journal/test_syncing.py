"""What is on the disk is known, and progress never says more."""

import asyncio
import os
import shutil
import threading
import time
from itertools import pairwise

import pytest

from connector.core.journal.state import Progress, unsealed
from connector.settings import JournalSettings
from connector.shell.journal import Journal, syncing, trouble
from connector.shell.journal.recovery import PROGRESS
from tests.shell.journal.frames import collect, frames, until


@pytest.fixture
async def source(tmp_path, monkeypatch):
    """Return a journal with short pauses."""
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(syncing, "PROGRESS_SECONDS", 0.01)
    made = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    yield made
    await made.close()


async def test_everything_is_synced_within_moments(source):
    """Frames are on the disk soon after they were written, and progress follows."""
    for frame in frames(1, 10):
        source.append(frame)
    source.advance(10)
    await until(lambda: source.synced_seq == 10)
    await until(lambda: source.progress.watermark == 10)
    found = Progress.from_content(unsealed((source.log.folder.path / PROGRESS).read_bytes()))
    assert found == source.progress


async def test_progress_says_no_more_than_the_disk_has(source):
    """The saved watermark is at most the last synced number, except for lost numbers after it."""
    for frame in frames(1, 10):
        source.append(frame)
    await until(lambda: source.synced_seq == 10)
    source.tally.synced = 5
    source.advance(10)
    assert source._syncing._progress().watermark == 5
    source.tally.lose(11, 12, "disk")
    source.tally.synced = 10
    source.advance(12)
    assert source._syncing._progress()[:3] == (12, 10, {"disk": 2})


@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
async def test_after_a_failed_sync_all_frames_are_on_the_disk(source, monkeypatch, tmp_path, call):
    """What a segment, or its name, may have lost when the sync failed is in a new one."""
    for frame in frames(1, 5):
        source.append(frame)
    await source.on_disk(30)
    work, times = getattr(os, call), []

    def failing(fd):
        times.append(fd)
        if len(times) == 1:
            raise OSError(5, "Input/output error")
        work(fd)

    monkeypatch.setattr(os, call, failing)
    for frame in frames(6, 10):
        source.append(frame)
        await asyncio.sleep(0)
    await until(lambda: times and source.synced_seq == 10 and source.write_error is None)
    assert source.segments_retired == 1
    first, second = source.log.segments
    assert second.first == 6
    os.truncate(tmp_path / "journal" / first.name, first.size - 100)  # the kernel dropped what it could not write
    await source.close()
    again = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert await collect(again.read, 0, 10) == frames(1, 10)
    assert again.lost == {}
    await again.close()


async def test_a_sync_that_keeps_failing_is_tried_now_and_then(source, monkeypatch):
    """After each failed sync, the next one waits a while, whoever asks for it."""
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.1)
    times = []

    def failing(_):
        times.append(time.monotonic())
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", failing)
        source.append(*frames(1, 1))
        while len(times) < 4:
            await source._syncing.next_round()
    assert all(later - earlier >= 0.1 for earlier, later in pairwise(times))
    await until(lambda: source.synced_seq == 1)


async def test_a_sync_that_hangs_lets_memory_grow_no_further(source, monkeypatch):
    """Written frames leave memory at its bound, are read from the log, and none is lost."""
    monkeypatch.setattr(syncing, "MEMORY_BYTES", 100_000)
    gate, waits, work = threading.Event(), threading.Event(), os.fdatasync

    def hanging(fd):
        waits.set()
        assert gate.wait(170)
        work(fd)

    monkeypatch.setattr(os, "fdatasync", hanging)
    source.append(*frames(1, 1))
    await asyncio.to_thread(waits.wait, 60)
    for frame in frames(2, 2000):
        source.append(frame)
        if frame.received_ns % 100 == 0:
            await until(lambda: source.committed_seq == source.last_seq)
    assert source.memory.bytes <= 100_000
    assert source.synced_seq == 0
    assert await collect(source.read, 0, 2000, 3000) == frames(1, 2000)
    gate.set()
    await until(lambda: source.synced_seq == 2000)
    assert source.lost == {}


async def test_the_pause_counts_from_the_beginning_of_a_round(source, monkeypatch):
    """After a round that took longer than the pause, the next one begins at once."""
    sync, ended = source._syncing, []

    async def slow():
        ended.append(None)
        sync._begun_at -= 3600  # as if the round took an hour

    with monkeypatch.context() as patch:
        patch.setattr(sync, "_pause", 3600)
        patch.setattr(sync, "_sync", slow)
        await sync.next_round()
        await until(lambda: len(ended) > 3)


async def test_a_round_that_was_under_way_does_not_count(source, monkeypatch):
    """Whoever asks for a sync gets one that began later, and so has all that was written before."""
    gate, waits, work = threading.Event(), threading.Event(), source.log.sync

    def waiting():
        waits.set()
        assert gate.wait(170)
        work()

    monkeypatch.setattr(source.log, "sync", waiting)
    source.append(*frames(1, 1))
    await asyncio.to_thread(waits.wait, 60)
    source.append(*frames(2, 2))
    await until(lambda: source.committed_seq == 2)
    source.advance(2)
    asking = asyncio.create_task(source._syncing.next_round())
    await asyncio.sleep(0)
    gate.set()
    await asking
    assert source.progress.watermark == 2


async def test_a_sign_of_life_is_saved_without_any_frame(source, monkeypatch):
    """While nothing happens, progress tells now and then that the process lived."""
    monkeypatch.setattr(syncing, "ALIVE_SECONDS", 0.05)
    await until(lambda: source.progress.alive_at)
    before = source.progress.alive_at
    await until(lambda: source.progress.alive_at > before)


async def test_a_segment_goes_only_after_the_progress_that_covers_it(source, monkeypatch):
    """While progress is not saved, nothing that was delivered since is unlinked."""
    unlinked_through = []

    async def unsaved():
        await asyncio.sleep(0)

    monkeypatch.setattr(source.log, "prune", unlinked_through.append)
    monkeypatch.setattr(source._syncing, "_save_progress", unsaved)
    for frame in frames(1, 10):
        source.append(frame)
    await until(lambda: source.synced_seq == 10)
    source.advance(10)
    await source._syncing.next_round()
    assert set(unlinked_through) == {0}
    monkeypatch.undo()


async def test_delivered_frames_go_in_time_from_a_journal_that_gets_no_more(source):
    """The last segment is deleted when it is old, though no later frame is written."""
    source.log._retain_seconds = 0.1
    for frame in frames(1, 5):
        source.append(frame)
    await until(lambda: source.synced_seq == 5)
    source.advance(5)
    await until(lambda: not source.log.segments)
    assert not list(source.log.folder.path.glob("*.log"))


async def test_whoever_saves_waits_for_no_text_that_was_replaced(source, monkeypatch):
    """Of two texts saved under one name at once, both wait for the later."""
    monkeypatch.setattr(trouble, "SLOW_SECONDS", 170)
    async with asyncio.timeout(30):
        await asyncio.gather(source.save("lists", "one"), source.save("lists", "other"))
    assert await source.saved("lists") == "other"


async def test_texts_that_do_not_fit_wait(source):
    """A text for which there is no room is logged, disturbs nothing, and is there for this run."""
    source.log._max_bytes = 20_000
    await source.save("lists", "x" * 30_000)
    assert await source.saved("lists") == "x" * 30_000
    source.log._max_bytes = 30_000
    source.append(*frames(1, 1))
    await until(lambda: source.synced_seq == 1)
    assert source.write_error is None
    assert not await source.on_disk(0.1), "a text that waits for room is not saved"
    source.log._max_bytes = 100_000
    assert await source.on_disk(30)


@pytest.mark.parametrize("is_killed", [True, False], ids=["kill", "stop"])
async def test_events_are_saved_when_undelivered_frames_fill_the_journal(tmp_path, is_killed):
    """What a full journal has to tell is there after a kill or a stop, and fits in `max_bytes`."""
    settings, kept = JournalSettings(path=tmp_path / "journal", max_bytes=2**24), tmp_path / "journal"
    full, number, losses = await Journal.open(settings, print), 0, []
    while not full.lost:
        number += 1
        full.append(frames(number, number)[0]._replace(raw=bytes(20_000)))
        await asyncio.sleep(0)
    full.report_losses()
    await full.save("events", "E" * 400_000)
    full.give_up(frames(0, 0)[0], "disk")
    await until(lambda: full._syncing._texts == full._syncing._saved_texts)
    assert sum(path.stat().st_size for path in kept.iterdir()) <= full.used_bytes <= 2**24
    if is_killed:
        kept = shutil.copytree(kept, tmp_path / "killed", ignore=shutil.ignore_patterns("*.new"))
    await full.close()
    assert full.is_saved
    again = await Journal.open(settings.model_copy(update={"path": kept}), losses.append)
    assert await again.saved("events") == "E" * 400_000
    again.report_losses()
    assert [loss.reason for loss in losses] == ["disk"]
    await again.close()


async def test_what_a_shorter_text_frees_is_free_once_it_is_saved(source, monkeypatch):
    """Frames get the room of a longer text only after a shorter one has replaced it."""
    await source.save("lists", "x" * 30_000)
    reserved, replace = source.log.state_bytes, source.log.folder.replace
    known = []
    monkeypatch.setattr(
        source.log.folder, "replace", lambda *args: (known.append(source.log.state_bytes), replace(*args))
    )
    await source.save("lists", "x")
    assert set(known) == {reserved}
    await until(lambda: source.log.state_bytes < 20_000)


async def test_a_stop_on_a_full_volume_saves_what_was_delivered(source, monkeypatch, tmp_path):
    """Frames that were delivered from memory are finished for the next process, too."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(source.log, "write", full)  # the state files have their spares
    for frame in frames(1, 20):
        source.append(frame)
    await until(lambda: source.write_error)
    assert await collect(source.read, 0, 20) == frames(1, 20)
    source.advance(20)
    await source.close()
    assert source.is_saved
    source = await Journal.open(JournalSettings(path=tmp_path / "journal"), print)
    assert (source.watermark, source.last_seq, source.lost) == (20, 20, {})
    await source.close()
