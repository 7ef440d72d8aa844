"""Rows C that need only the journal: kills, a power cut, its bound, flipped bits."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import structlog.testing

from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal
from tests.faults.journal_child import BOUND, content, frame
from tests.faults.rig import Rig
from tests.faults.row import Check, at_least, at_most, equal, row, shown
from tests.faults.volumes import Disk, why_no_disk

SYNC_SECONDS = 0.2
SECONDS = 60


class Child:
    """A journal child: `opened` is what it found, `wrote` the lines it printed since."""

    def __init__(self, process: asyncio.subprocess.Process, opened: dict[str, int]) -> None:
        self.process = process
        self.opened = opened
        self.wrote: list[tuple[float, int, float]] = []

    async def kill(self) -> None:
        """Kill it, and read what it still said."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        assert self.process.stdout is not None
        rest = await self.process.stdout.read()
        for line in rest.split(b"\n")[:-1]:
            at, number, sync = line.split()
            self.wrote.append((float(at), int(number), float(sync)))
        await self.process.wait()

    def broken(self) -> int:
        """Return how many of the laws its figures break."""
        found = self.opened
        return (found["received"] != found["finished"] + found["pending"] + found["lost"]) + (
            found["pending"] != found["readable"]
        )


@contextlib.asynccontextmanager
async def child(folder: Path, *options: str) -> AsyncIterator[Child]:
    """Start a journal child and wait until it has opened the journal; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.journal_child", str(folder), *options),
        stdout=subprocess.PIPE,
        limit=2**24,
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
    assert line, f"the journal did not open: the child ended with {await process.wait()}"
    started = Child(process, json.loads(line))
    try:
        yield started
    finally:
        if process.returncode is None:
            await started.kill()


@contextlib.contextmanager
def a_folder() -> Iterator[Path]:
    """Make a folder, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="kis-bond-journal-") as folder:
        yield Path(folder)


@row(
    "C3",
    fault="killed while the journal writes, rolls, prunes and syncs all the time, 1,000 times (40 in the quick run)",
    expected="it starts each time; every written frame there, none half there, the law holds",
)
async def killed_in_the_journal(rig: Rig) -> list[Check]:
    """Only the journal runs, so that kills fall between and inside its steps."""
    kills, random = (1000 if rig.full else 40), Random(rig.seed)
    starts = missing = broken = foreign = corrupt = written = 0
    with a_folder() as folder:
        for killed in range(kills + 1):
            if killed and killed % 50 == 0:
                sys.stderr.write(f"C3: {killed:,} of {kills:,} kills, {written:,} frames written\n")
            async with child(folder / "journal") as one:
                starts += 1
                missing += max(written - one.opened["highest"], 0)
                foreign += one.opened["foreign"]
                corrupt = one.opened["lost"]
                broken += one.broken()
                await asyncio.sleep(random.uniform(0.0, 0.25))
                await one.kill()
                written = max(written, one.opened["last_seq"], *(number for _, number, _ in one.wrote), 0)
    return [
        equal("starts", starts, kills + 1),
        at_least("frames written", written, 10_000),
        equal("written frames missing", missing, 0),
        equal("frames with foreign content", foreign, 0),
        equal("counted as lost", corrupt, 0),
        equal("law broken", broken, 0),
    ]


@row(
    "C19",
    fault="power cut at random instants, 100 times (12 in the quick run): ext4 told to drop all that is not synced",
    expected="what was synced is there; what is gone was written at most 0.2 s and a sync ago",
    why_not=why_no_disk,
)
async def power_cut(rig: Rig) -> list[Check]:
    """A kernel's own ext4 loses its memory: `EXT4_IOC_SHUTDOWN` without a flush of its log."""
    cuts, random = (100 if rig.full else 12), Random(rig.seed)
    lost: list[int] = []
    ages: list[float] = []
    too_old = broken = foreign = corrupt = other = 0
    with a_folder() as folder:
        before: tuple[Child, float, float] | None = None
        with Disk(folder / "disk") as disk:
            for _ in range(cuts + 1):
                async with child(disk.folder / "journal", "--pause", "0.005") as one:
                    if before:
                        gone, age, bound = _after_the_cut(*before, one.opened)
                        lost.append(gone)
                        ages.append(age)
                        too_old += age > bound
                    broken += one.broken()
                    foreign += one.opened["foreign"]
                    corrupt, other = one.opened["corrupt"], one.opened["lost"] - one.opened["corrupt"]
                    await asyncio.sleep(random.uniform(0.3, 1.2))
                    begun = time.monotonic()
                    await asyncio.to_thread(disk.cut_the_power)
                    ended = time.monotonic()
                    await one.kill()
                    before = one, begun, ended
                await asyncio.to_thread(disk.restart)
    return [
        equal("frames gone that were written earlier than promised", too_old, 0),
        at_least("cuts that took frames", sum(map(bool, lost)), 1),
        equal("frames with foreign content", foreign, 0),
        equal("law broken", broken, 0),
        equal("lost for another reason than that they are gone", other, 0),
        shown("gone, with later frames there: counted as corrupt", corrupt),
        shown("frames gone in all", sum(lost)),
        shown("age of the oldest frame that was gone, s", round(max(ages), 3)),
    ]


def _after_the_cut(cut: Child, begun: float, ended: float, found: dict[str, int]) -> tuple[int, float, float]:
    """Return how many frames from the first that is gone, its age at the cut, and its bound.

    A sync begins at most `SYNC_SECONDS` after a write, and waits for one that is running. The
    child says once a turn what it has written, so a tenth of a second is allowed for a turn.
    """
    written = [(at, number) for at, number, _ in cut.wrote if at <= begun]
    longest = max((sync for _, _, sync in cut.wrote), default=0.0)
    gone = max((number for _, number in written), default=0) - found["first_missing"] + 1
    age = next((ended - at for at, number in written if number >= found["first_missing"]), 0.0)
    return max(gone, 0), age, SYNC_SECONDS + 2 * longest + 0.1


@row(
    "C21",
    fault="16 MiB bound, delivered frames kept for a day, written at full rate; frozen and measured at 300 instants",
    expected="all files ≤ max_bytes at each instant, though at least three quarters of it stay in use; none lost",
)
async def bound(rig: Rig) -> list[Check]:
    """A frozen process is measured exactly: no file grows while its sizes are added up."""
    random, sizes = Random(rig.seed), []
    with a_folder() as folder:
        async with child(folder / "journal", "--retain-hours", "24") as one:
            deadline = time.monotonic() + SECONDS
            while _bytes(folder / "journal") < BOUND * 0.75 and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            for _ in range(300):
                await asyncio.sleep(random.uniform(0.0, 0.03))
                one.process.send_signal(signal.SIGSTOP)
                await _until_stopped(one.process.pid)
                sizes.append(_bytes(folder / "journal"))
                one.process.send_signal(signal.SIGCONT)
            await one.kill()
        async with child(folder / "journal", "--retain-hours", "24") as again:
            opened = again.opened
    return [
        at_most("largest sum of the files", max(sizes), BOUND),
        at_least("smallest sum of the files", min(sizes), BOUND * 3 // 4),
        equal("frames lost", opened["lost"], 0),
        at_least("frames written", one.wrote[-1][1], 4 * BOUND // 1500),
    ]


async def _until_stopped(pid: int) -> None:
    """Wait until the kernel has stopped every thread of a process."""
    while not _is_stopped(pid):
        await asyncio.sleep(0)


def _is_stopped(pid: int) -> bool:
    states = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            states.add((task / "stat").read_text().rpartition(")")[2].split()[0])
    return states == {"T"}


def _bytes(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder))


@row(
    "C24",
    fault="600 bits of a closed journal's files flipped, one at a time, then opened",
    expected="opens each time; the frames missing are exactly those counted as corrupt; none has foreign content",
)
async def flipped_bits(rig: Rig) -> list[Check]:
    """Each file is hit in proportion to its size, and each small file fifty times besides."""
    random = Random(rig.seed)
    silent = foreign = refused = 0
    counted: Counter[str] = Counter()
    with a_folder() as folder:
        undelivered = await _a_closed_journal(folder / "journal")
        files = sorted(path for path in (folder / "journal").iterdir() if path.suffix != ".new" and path.name != "lock")
        small = [path for path in files if path.suffix != ".log"]
        for turn in range(600):
            hit = small[turn % len(small)] if turn < 50 * len(small) else _by_size(files, random)
            copy = folder / "copy"
            shutil.copytree(folder / "journal", copy)
            damaged = bytearray((copy / hit.name).read_bytes())
            damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
            (copy / hit.name).write_bytes(damaged)
            found = await _read(copy)
            if found is None:
                refused += 1
            else:
                missing = len(undelivered - set(found["numbers"]))
                silent += missing != found["corrupt"]
                foreign += found["numbers"].count(0)
                counted[hit.suffix or hit.name] += found["corrupt"]
            shutil.rmtree(copy)
    return [
        equal("missing and not counted, or counted and not missing", silent, 0),
        equal("frames with foreign content", foreign, 0),
        equal("refused to open", refused, 0),
        at_least("frames counted as corrupt", sum(counted.values()), 100),
        shown("by file", ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))),
    ]


SMALL = 512 * 1024  # a bound below the setting's least: segments of 32 KiB, so that a small journal has several
FRAMES, FINISHED = 100, 8


async def _a_closed_journal(folder: Path) -> set[int]:
    """Write a small journal with several segments, and return the numbers of the pending frames."""
    journal = await Journal.open(JournalSettings(path=folder).model_copy(update={"max_bytes": SMALL}), lambda _: None)
    for number in range(1, FRAMES + 1):
        journal.append(Received(time.time_ns(), 0, 1, False, frame(number)))
        await journal.read(number - 1, 1)
    journal.advance(FINISHED)
    await journal.close()
    return set(range(FINISHED + 1, FRAMES + 1))


async def _read(folder: Path) -> dict[str, Any] | None:
    """Return the readable frames and the count of corrupt ones, None if it does not open."""
    with structlog.testing.capture_logs():  # the worker's stdout is for results
        try:
            journal = await Journal.open(
                JournalSettings(path=folder).model_copy(update={"max_bytes": SMALL}), lambda _: None
            )
        except Exception:  # noqa: BLE001 - any failure to open is the finding
            return None
        try:
            return {"numbers": await content(journal), "corrupt": journal.lost.get("corrupt", 0)}
        finally:
            await journal.close()


def _by_size(files: list[Path], random: Random) -> Path:
    return random.choices(files, [path.stat().st_size for path in files])[0]
