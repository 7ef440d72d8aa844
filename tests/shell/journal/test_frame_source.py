"""Damaged frames are counted exactly once, and hold up nobody."""

import asyncio
import errno
import os
import threading

import pytest
import structlog

from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Block
from connector.shell.journal import frame_source, reading, segment, syncing, trouble
from tests.shell.journal.frames import assert_law, collect, frame, frames, until


async def damaged(opened, tmp_path, count, damaged_numbers):
    """Return a reopened journal of `count` frames, of which some are damaged on the disk."""
    source = await opened()
    for number in range(1, count + 1):
        source.append(frame(number))
    await source.close()
    (path,) = (tmp_path / "journal").glob("*.log")
    content = bytearray(path.read_bytes())
    for number in damaged_numbers:
        content[content.index(frame(number).raw)] ^= 1
    path.write_bytes(content)
    return await opened()


async def test_a_damaged_frame_is_counted_once_over_rereading_and_restarts(opened, tmp_path):
    """However often it is read, a damaged frame is one loss, reported once."""
    source = await damaged(opened, tmp_path, 10, [4])
    for _ in range(2):
        await asyncio.gather(*(source.read_again(3, 10, 100) for _ in range(3)))
        assert await collect(source.read, 0, 10, 4) == [frame(number) for number in range(1, 11) if number != 4]
        assert source.lost == {"corrupt": 1}
        assert_law(source)
        source.report_losses()
        await source.save("events", "the report")
        source = await opened()
    assert [(loss.reason, loss.frames) for loss in opened.losses] == [("corrupt", 1)]


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("limit", [1, 4])
async def test_a_key_that_only_an_earlier_segment_has_is_found(opened, tmp_path, is_last, limit):
    """If the last segment's copy of a key is damaged, reading the frames before finds the key."""
    key = CipherKey("k" * 32, "i" * 16)
    source = await opened()
    if not is_last:
        source.keep_key(0, 7, key)
    source.append(frame(1))
    await source.on_disk(30)
    if is_last:
        source.keep_key(0, 7, key)
    source = await opened()
    source.append(frame(2))
    await source.close()
    last = max((tmp_path / "journal").glob("*.log"))
    content = bytearray(last.read_bytes())
    content[content.index(b"kkkk")] ^= 1
    last.write_bytes(content)
    source = await opened()
    assert list(source.keys(0, 7)) == []
    await collect(source.read, 0, 2, limit)
    assert list(source.keys(0, 7)) == [key]


async def test_a_loss_that_only_an_earlier_segment_has_is_counted(opened, tmp_path):
    """Without progress, a mark that is met on the way is a loss with its reason."""
    source = await opened()
    source.append(frame(1))
    source.give_up(frame(2), "disk")
    source.append(frame(3))
    source = await opened()
    source.append(frame(4))
    await source.close()
    (tmp_path / "journal" / "progress").unlink()
    source = await opened()
    assert await collect(source.read, 0, 4, 4) == [frame(1), frame(3), frame(4)]
    assert source.lost == {"disk": 1}
    assert_law(source)


async def test_damaged_last_frames_are_passed_without_a_further_one(opened, tmp_path):
    """A reader passes damaged last frames, and they hold up no stop."""
    source = await opened()
    for number in range(1, 6):
        source.append(frame(number))
    await source.on_disk(10)
    await source.close()
    (path,) = (tmp_path / "journal").glob("*.log")
    path.write_bytes(path.read_bytes()[:-10])
    source = await opened()
    assert source.lost == {"corrupt": 1}
    assert await collect(source.read, 0, 5, 4) == [frame(number) for number in range(1, 5)]
    source.advance(5)
    assert (source.finished, source.pending) == (4, 0)


async def test_lost_last_frames_are_passed_at_once(opened):
    """A reader passes them before the log has their mark, for which there may be no room."""
    source = await opened()
    source.append(frame(1))
    await source.read(0, 1)
    source.give_up(frame(2), "disk")
    assert await source.read(1, 1) == Block(3, [])
    assert source.committed_seq == 1


async def test_a_frame_after_many_damaged_ones_is_found(opened, tmp_path, monkeypatch):
    """Both reads find the frame after more damaged ones than one read returns."""
    monkeypatch.setattr(frame_source, "FRAMES_A_READ", 4)
    source = await damaged(opened, tmp_path, 20, range(3, 16))
    expected = [frame(number) for number in (1, 2, *range(16, 21))]
    assert await collect(source.read, 0, 20, 4) == expected
    assert await collect(lambda after, limit: source.read_again(after, 20, limit), 0, 20, 4) == expected


async def test_finished_never_falls(opened, tmp_path):
    """Damage above the watermark becomes a loss at once; the law holds over restarts."""
    source = await damaged(opened, tmp_path, 10, [4, 5, 9])
    finished = [source.finished]
    for watermark in (0, 2, 4, 7, 10):
        await collect(source.read, source.watermark, 10, 4)
        finished.append(source.finished)
        assert_law(source)
        source.advance(watermark)
        finished.append(source.finished)
        assert_law(source)
        source = await opened()
        finished.append(source.finished)
        assert_law(source)
    assert finished == sorted(finished)
    assert (finished[0], finished[-1], source.pending, source.lost) == (0, 7, 0, {"corrupt": 3})


async def test_a_segment_that_is_gone_is_a_counted_loss(opened, tmp_path):
    """If a file with pending frames was removed, the start goes on, and they are counted."""
    source = await opened()
    for number in range(1, 6):
        source.append(frame(number))
    source = await opened()
    for number in range(6, 11):
        source.append(frame(number))
    await source.close()
    (tmp_path / "journal" / "00000000000000000001.log").unlink()
    source = await opened()
    assert await collect(source.read, 0, 10, 4) == [frame(number) for number in range(6, 11)]
    assert source.lost == {"corrupt": 5}
    assert_law(source)


@pytest.fixture
def log_alone(monkeypatch):
    """Let no written frame stay in memory, so that each read is one of the log."""
    monkeypatch.setattr(syncing, "WINDOW_BYTES", 0)


@pytest.mark.usefixtures("log_alone")
async def test_a_disk_that_fails_for_a_while_costs_nothing(opened, monkeypatch):
    """A read waits while the log cannot be read, and names the file; then all frames come."""
    source, real = await opened(), os.pread
    await filled(source, 100)
    is_bad = True
    monkeypatch.setattr(os, "pread", lambda *place: b"" if is_bad else real(*place))
    read = asyncio.create_task(collect(source.read, 0, 100, 10))
    await until(lambda: source.write_error)
    assert "00000000000000000001.log" in source.write_error
    assert not read.done()
    is_bad = False
    assert await read == frames(1, 100)
    assert (source.write_error, source.lost) == (None, {})


@pytest.mark.usefixtures("log_alone")
async def test_a_read_that_hangs_is_told(opened, monkeypatch):
    """While a read takes long it is a problem, and its length is logged at its end."""
    monkeypatch.setattr(trouble, "SLOW_SECONDS", 0.05)
    source, real, goes_on = await opened(), os.pread, threading.Event()
    await filled(source, 100)
    monkeypatch.setattr(os, "pread", lambda *place: goes_on.wait(30) and real(*place))
    with structlog.testing.capture_logs() as logs:
        read = asyncio.create_task(collect(source.read, 0, 100))
        await until(lambda: source.trouble.problems.get("read") == "a read has taken over 0.05 s")
        assert not read.done()
        goes_on.set()
        assert await read == frames(1, 100)
    assert "read" not in source.trouble.problems
    assert [entry["event"] for entry in logs if entry.get("call") == "read"] == [
        "journal_write_failed",
        "journal_disk_slow",
    ]


@pytest.mark.usefixtures("log_alone")
async def test_a_page_that_stays_unreadable_costs_its_frames(opened, monkeypatch):
    """What the disk no longer gives is counted exactly, and the frames before and after it come."""
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 0.0)
    source, real = await opened(), os.pread
    await filled(source, 1000)

    def pread(fd, size, at):
        if at < 2 * segment.PAGE and at + size > segment.PAGE:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, size, at)

    monkeypatch.setattr(os, "pread", pread)
    found = [each.received_ns - 1000 for each in await collect(source.read, 0, 1000, 64)]
    missing = sorted(set(range(1, 1001)) - set(found))
    assert found == sorted(found)
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert 50 < len(missing) < 150, "a page of frames"
    assert source.lost == {"corrupt": len(missing)}
    source.advance(1000)
    assert_law(source)


@pytest.mark.usefixtures("log_alone")
async def test_a_segment_that_may_not_be_opened_costs_its_frames(opened, tmp_path, monkeypatch):
    """It is waited for and named; once that took long, its frames are lost and others come."""
    source = await opened()
    await filled(source, 100)
    (path,) = (tmp_path / "journal").glob("*.log")
    path.rename(tmp_path / "kept")
    path.symlink_to(tmp_path / "kept")
    read = asyncio.create_task(collect(source.read, 0, 101))
    await until(lambda: path.name in (source.write_error or ""))
    monkeypatch.setattr(segment, "UNREADABLE_SECONDS", 0.0)
    await until(lambda: source.lost == {"corrupt": 100})
    source.append(frame(101))
    assert await read == [frame(101)]
    assert source.write_error is None
    assert_law(source)


@pytest.mark.usefixtures("log_alone")
async def test_a_read_of_large_frames_takes_few_of_them(opened):
    """A read takes some 1 MiB, however large frames are, and holds nothing once all was read."""
    source, raw = await opened(), bytes(100_000)
    for number in range(1, 101):
        source.append(frame(number, raw=raw))
        await asyncio.sleep(0)
    await source.on_disk(30)
    await until(lambda: source.memory.floor == 100)
    await source.read(0, 1)
    assert 1 < len(source._source._ahead.frames) <= (reading.READ_BYTES + reading.CHUNK) // len(raw)
    assert len((await source.read_again(0, 100, 1000)).frames) <= (reading.READ_BYTES + reading.CHUNK) // len(raw)
    assert len(await collect(source.read, 0, 100, 7)) == 100
    source.append(frame(101))
    await collect(source.read, 100, 101)
    assert not source._source._ahead.frames


async def filled(source, count):
    """Write so many frames, and wait until only the log has them."""
    for number in range(1, count + 1):
        source.append(frame(number))
    await source.on_disk(30)
    await until(lambda: source.memory.floor == count)
