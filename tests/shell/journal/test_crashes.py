"""Whatever is cut or flipped, no frame that was promised is gone without being counted."""

import asyncio
import os
import random
import tempfile
import threading
from pathlib import Path

import pytest
import structlog

from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal, syncing
from tests.fuzz.virtual_loop import VirtualLoop, workers_at_once
from tests.shell.journal.frames import collect

TOLD = {"journal_damaged", "journal_header_damaged", "journal_state_damaged", "journal_tail_cut", "frames_lost"}


@pytest.fixture
def memory_path(tmp_path):
    """Return a folder in memory, where a sync costs nothing."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def frame(number):
    """Return the frame of this number."""
    return Received(1000 + number, 0, 7, False, b"frame %d " % number + bytes(number % 90))


def small(path, **changes):
    """Return settings of a journal with a bound below what the settings allow."""
    return JournalSettings(path=path).model_copy(update={"max_bytes": 200_000, **changes})


@workers_at_once()
def test_none_of_600_flipped_bits_is_silent(memory_path):
    """A flipped bit is told; at most the frame it hit is missing, and exactly that is counted."""
    loop, path = VirtualLoop(), memory_path / "journal"

    async def written(numbers):
        source = await Journal.open(JournalSettings(path=path), print)
        for number in numbers:
            source.append(frame(number))
        await source.read(0, 1)
        source.advance(10)
        await source.save("lists", '{"desk": ["KR103502GA34"]}')
        await source.close()

    async def opened():
        source = await Journal.open(JournalSettings(path=path), print)
        try:
            found = await collect(source.read, source.watermark, source.last_seq, 7)
            assert source.received == source.finished + source.pending + sum(source.lost.values()) == 60
            return source.watermark, found, source.lost.get("corrupt", 0), await source.saved("lists")
        finally:
            await source.close()

    try:
        for first in (1, 21, 41):
            loop.run_until_complete(written(range(first, first + 20)))
        files = {each: each.read_bytes() for each in sorted(path.iterdir()) if each.name != "lock"}
        sound = loop.run_until_complete(opened())
        assert sound == (10, [frame(number) for number in range(11, 61)], 0, '{"desk": ["KR103502GA34"]}')
        chance, outcomes = random.Random(7), set()
        for bit in chance.sample(range(8 * sum(map(len, files.values()))), 600):
            place = bit // 8
            for each, content in files.items():
                damaged = bytearray(content)
                if 0 <= place < len(content):
                    damaged[place] ^= 1 << bit % 8
                each.write_bytes(damaged)
                place -= len(content)
            with structlog.testing.capture_logs() as logs:
                found = loop.run_until_complete(opened())
            assert found == sound or TOLD.intersection(entry["event"] for entry in logs), bit
            watermark, frames, corrupt, _ = found
            genuine = [frame(number) for number in range(watermark + 1, 61)]
            assert [each for each in genuine if each in frames] == frames
            assert len(genuine) - len(frames) == corrupt <= 1
            outcomes.add((watermark, corrupt))
            for each in path.glob("*.log"):
                if each not in files:
                    each.unlink()
        assert outcomes >= {(10, 0), (10, 1)}
    finally:
        loop.close()


class Durable:
    """What a power cut leaves of a folder: what was synced, under the names that were synced."""

    def __init__(self, folder, monkeypatch):
        self._folder, self._lock = folder, threading.RLock()
        self._contents, self._names, self._held = {}, {}, []
        for call in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, call, self._noting(getattr(os, call)))
        for call in ("rename", "replace", "unlink"):
            monkeypatch.setattr(os, call, self._alone(getattr(os, call)))

    def _alone(self, change):
        """Return this call, which does not change the folder while its names are noted."""

        def changing(*args, **kwargs):
            with self._lock:
                return change(*args, **kwargs)

        return changing

    def _noting(self, sync):
        def noting(fd):
            with self._lock:
                found = os.fstat(fd)
                opened = Path(f"/proc/self/fd/{fd}")
                content = None if opened.is_dir() else opened.read_bytes()
                sync(fd)
                if content is None:
                    self._names = {each.name: each.stat().st_ino for each in self._folder.iterdir()}
                else:
                    if found.st_ino not in self._contents:
                        self._held.append(os.dup(fd))  # so that no later file gets the same inode
                    self._contents[found.st_ino] = content

        return noting

    def cut(self, target):
        """Make a folder as it would be after a power cut at this moment."""
        with self._lock:
            target.mkdir()
            for name, inode in self._names.items():
                (target / name).write_bytes(self._contents.get(inode, b""))

    def close(self):
        """Let the files go."""
        for fd in self._held:
            os.close(fd)


async def test_after_a_power_cut_all_that_was_synced_is_there(memory_path, monkeypatch):
    """Without the unsynced bytes and names of any moment, the synced frames are there."""
    monkeypatch.setattr(syncing, "PROGRESS_SECONDS", 0.002)
    chance, folder = random.Random(11), memory_path / "journal"
    durable = Durable(folder, monkeypatch)
    source = await Journal.open(small(folder, retain_hours=0), print)
    number = delivered = 0
    for cut in range(40):
        for _ in range(chance.randrange(1, 60)):
            for _ in range(chance.randrange(1, 8)):
                number += 1
                source.append(frame(number))
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
            delivered = max(delivered, min(number, (await source.read(delivered, 50)).last_seq))
            source.advance(delivered - chance.randrange(3))
        watermark, synced = source.watermark, source.synced_seq
        durable.cut(memory_path / f"cut-{cut}")
        again = await Journal.open(small(memory_path / f"cut-{cut}"), print)
        assert again.lost == {}
        assert again.watermark <= watermark
        assert again.last_seq >= synced
        assert await collect(again.read, again.watermark, again.last_seq, 7) == [
            frame(each) for each in range(again.watermark + 1, again.last_seq + 1)
        ]
        await again.close()
    assert source.lost == {}
    assert not (folder / "00000000000000000001.log").exists()
    await source.close()
    durable.close()
