"""Whichever calls of the system fail, each frame is delivered, there, or counted as lost."""

import asyncio
import os
import random
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal, syncing
from connector.shell.journal.inspection import inspect
from connector.shell.worker import Worker
from tests.fuzz.virtual_loop import VirtualLoop
from tests.shell.journal.frames import assert_law, collect

CALLS = ("open", "write", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "posix_fallocate")
DAMAGE = {"journal_damaged", "journal_header_damaged", "journal_state_damaged", "journal_bug"}
PAUSES = (0, 0.001, 0.2)  # seconds; longer ones let the journal sync meanwhile


def frame(number):
    """Return the frame of this number."""
    return Received(1000 + number, 3, 7, False, b"%d " % number + bytes(number * 37 % 400))


class Disk:
    """Fails the calls of some numbers. A failed sync loses what it should have synced."""

    def __init__(self, patch, failing, names=CALLS):
        self.failing, self.names, self.failed = failing, names, set()
        self.calls = -1000  # before the journal is open
        self._synced = {}
        for name in CALLS:
            patch.setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name, work):
        def counted(*arguments, **others):
            if name == "open" and not arguments[1] & os.O_CREAT:
                return work(*arguments, **others)
            self.calls += 1
            if self.calls in self.failing and name in self.names:
                self.failed.add(name)
                if name == "write":
                    work(arguments[0], arguments[1][: len(arguments[1]) // 2])
                elif name == "fdatasync":
                    _shorten(arguments[0], self._synced.get(os.fstat(arguments[0]).st_ino, 0))
                raise OSError(5, "Input/output error")
            if name == "ftruncate":  # what was dropped does not come back as zeros
                return _shorten(*arguments)
            result = work(*arguments, **others)
            if name == "fdatasync":
                found = os.fstat(arguments[0])
                self._synced[found.st_ino] = found.st_size
            return result

        return counted


def _shorten(fd, size):
    os.truncate(f"/proc/self/fd/{fd}", min(size, os.fstat(fd).st_size))


class Threads:
    """Makes the calls of workers after a while, and gives their results after another."""

    def __init__(self, patch, chance):
        self._chance, self._free_at = chance, {}

        def run(worker, *arguments, **others):
            return self._run(worker, *arguments, **others)

        patch.setattr(Worker, "run", run)

    def _run(self, worker, call, *arguments, then=None, patience=0):
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def make():
            result = error = None
            try:
                result = None if done.cancelled() else call(*arguments)
            except Exception as raised:  # noqa: BLE001 - as a thread would hand it over
                error = raised
            loop.call_later(self._chance.choice(PAUSES), settle, result, error)

        def settle(result, error):
            if done.done():
                return
            if error:
                done.set_exception(error)
                return
            if then:
                then()
            done.set_result(result)

        at = max(loop.time(), self._free_at.get(worker, 0)) + self._chance.choice(PAUSES)
        self._free_at[worker] = at + 0.0001
        loop.call_at(at, make)
        return done


class History:
    """What one journal receives and delivers, and the copies that kills would have left."""

    def __init__(self, folder, disk, chance, bound, burst):
        self.folder, self.disk, self.chance, self.burst = folder, disk, chance, burst
        changes = {"max_bytes": bound, "retain_hours": chance.choice((0, 72))}
        self.settings = JournalSettings(path=folder).model_copy(update=changes)
        self.copies, self.reported = [], 0

    def _report(self, loss):
        self.reported += loss.frames

    async def live(self):
        """Open the journal, receive and deliver frames for a while, and return it closed."""
        source = await Journal.open(self.settings, self._report)
        self.disk.calls = after = 0
        for step in range(26):
            if step in {3, 11}:
                source.keep_key(3, 7 + step, CipherKey("k" * 32, f"{step:016}"))
            for _ in range(self.chance.randrange(1, self.burst)):
                source.append(frame(source.last_seq + 1))
            await asyncio.sleep(self.chance.choice((0, 0.01, 0.3, 0.7)))
            if step % 5:
                after = await self._deliver(source, after)
            if step == 8:
                await source.save("lists", "x" * 300)
            self._check(source)
            if self.chance.random() < 0.3:
                self._kill(source)
        await source.close()
        self.disk.failing = ()
        return source

    async def _deliver(self, source, after):
        try:
            async with asyncio.timeout(0.5):
                block = await source.read(after, self.chance.randrange(1, 90))
        except TimeoutError:
            return after
        assert block.frames == [frame(number) for number in range(block.first_seq, block.last_seq + 1)]
        source.advance(block.last_seq)
        return block.last_seq

    def _check(self, source):
        assert_law(source)
        begun = [] if "unlink" not in self.disk.failed else list(self.folder.glob("*.log.new"))
        assert sum(path.stat().st_size for path in self.folder.iterdir() if path not in begun) <= (
            self.settings.max_bytes
        )

    def _kill(self, source):
        target = self.folder.parent / f"killed-{len(self.copies)}"
        shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns("progress.new", "saved.json.new"))
        is_sound = "fdatasync" not in self.disk.failed
        promised = source.committed_seq if is_sound else source.progress.synced
        self.copies.append((target, promised, source.watermark, list(source.tally.marks), is_sound))

    async def opened(self, folder, promised, watermark, marks, is_sound=True):
        """Open a folder: all that was promised is there, finished or lost. Return the journal."""
        with structlog.testing.capture_logs() as logs:
            source = await Journal.open(self.settings.model_copy(update={"path": folder}), lambda _: None)
            found = await collect(source.read, source.watermark, source.last_seq, 7)
            assert_law(source)
            await source.close()
        numbers = [int(each.raw.split()[0]) for each in found]
        assert found == [frame(number) for number in numbers]
        assert numbers == sorted(set(numbers))
        assert source.watermark <= watermark
        # Of finished numbers above the saved watermark the log may have no more than a mark.
        assert 0 <= source.pending - len(found) <= watermark - source.watermark
        gone = set(range(watermark + 1, promised + 1)).difference(numbers)
        assert gone <= {number for mark in marks for number in range(mark.first_seq, mark.last_seq + 1)}
        assert not is_sound or not [each for each in logs if each["event"] in DAMAGE]
        return source


@contextmanager
def played(seed, failing, names=CALLS, bound=150_000, burst=30):
    """Play a history with some calls failing, and give the disk after all was checked."""
    memory, loop = Path("/dev/shm"), VirtualLoop()
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as path,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(syncing, "MEMORY_BYTES", max(60_000, 2000 * burst))
        disk = Disk(patch, failing, names)
        Threads(patch, random.Random(seed))
        history = History(Path(path) / "journal", disk, random.Random(seed), bound, burst)
        try:
            with structlog.testing.capture_logs() as logs:
                source = loop.run_until_complete(history.live())
            assert not [each for each in logs if each["event"] == "journal_bug"]
            calls = disk.calls
            for copy in history.copies:
                loop.run_until_complete(history.opened(*copy))
            assert history.reported <= sum(source.lost.values())
            problems = inspect(history.folder).problems
            promised = source.last_seq if source.is_saved else source.progress.synced
            # What a failed sync damaged stays if no new segment could replace it before the stop.
            is_sound = not disk.failed >= {"fdatasync", "open"}
            again = loop.run_until_complete(
                history.opened(history.folder, promised, source.watermark, source.tally.marks, is_sound)
            )
            if source.is_saved:
                assert (again.last_seq, again.lost, problems) == (source.last_seq, source.lost, [])
            disk.calls = calls
            yield disk
        finally:
            loop.close()


@pytest.mark.parametrize("count", [1, 4, 20])
def test_every_call_may_fail(count):
    """A failure of one call, or of all for a while, loses nothing, whichever is the first."""
    with played(1, ()) as disk:
        last, failed = disk.calls, set()
    for first in range(1, last, 9):
        with played(1, range(first, first + count)) as disk:
            failed |= disk.failed
    assert failed >= {"open", "write", "fdatasync", "fsync", "rename"}


@pytest.mark.parametrize(
    ("seeds", "changes"),
    [
        (range(5003, 5018), {"bound": 60_000, "burst": 60}),
        (range(4, 18), {"bound": 300_000, "burst": 100, "names": ("fdatasync", "unlink")}),
    ],
    ids=["full", "syncs and removals"],
)
def test_calls_may_fail_again_and_again(seeds, changes):
    """Nor is anything lost if the disk fails now and then while the journal is full."""
    failed = set()
    for seed in seeds:
        chance, failing = random.Random(seed), set()
        for _ in range(chance.randrange(1, 6)):
            first = chance.randrange(300)
            failing |= set(range(first, first + chance.choice((1, 2, 5, 30))))
        with played(seed, failing, **changes) as disk:
            failed |= disk.failed
    assert failed >= {"fdatasync", "unlink"}
