"""Rows C that spoil the disk of a running connector: damage, a full, failing or hanging volume."""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from tests.deployment import ROOT
from tests.faults import volumes
from tests.faults.rig import Rig, Run, late
from tests.faults.row import Check, at_least, at_most, equal, row, shown, true
from tests.faults.rows_feed import seconds_to_answer
from tests.faults.rows_process import little_pending, started_again

SMALLEST = {"JOURNAL__MAX_BYTES": "16MiB"}  # segments of 1 MiB


@row(
    "C4",
    fault=(
        "killed with frames pending, then: a bit flipped in a record; the last record cut; 4 KiB of garbage; "
        "a segment missing; a segment longer than it was"
    ),
    expected="starts each time; counted as corrupt = missing (L = 0), exactly; the rest arrives",
)
async def journal_damaged(rig: Rig) -> list[Check]:
    """The market pauses before each kill, so that everything is synced and each loss is known."""
    damages = (a_bit, the_last_record_cut, garbage, a_segment_missing, longer)
    expected: dict[str, int | None] = {}
    counted: dict[str, int] = {}
    async with rig.run(rate=2000, settings=SMALLEST) as run:
        before = 0
        for damage in damages:
            await run.passed(0.5)
            begun = len(segments(run.connector.journal))
            await rig.cluster.away()
            await run.passed(2)
            if damage is a_segment_missing:  # the one that is under way holds delivered frames, too
                await run.until(lambda begun=begun: len(segments(run.connector.journal)) >= begun + 2)
            await run.until(lambda: segments(run.connector.journal)[-1].stat().st_size in DAMAGED_BYTES)
            run.market(0)
            await run.passed(1)
            await run.connector.end(signal.SIGKILL)
            expected[damage.__name__] = await rig.off_loop(partial(damage, run.connector.journal))
            await rig.cluster.heal()
            await started_again(run)
            await run.connector.until(partial(little_pending, run), 60)
            _, status = await run.connector.ask("/status")
            now = sum(status["frames"]["lost"].values())
            counted[damage.__name__], before = now - before, now
            run.market()
        log = run.connector.log.read_text()
    return [
        *run.checks(missed=None, connects=len(damages) + 1),
        *(
            equal(f"counted after {name}", counted[name], wanted)
            if wanted is not None
            else at_least(f"counted after {name}", counted[name], 1)
            for name, wanted in expected.items()
        ),
        true("the torn end is told in the log", "journal_tail_cut" in log),
        shown("M, between socket and journal at the kills", run.ledger.missed),
    ]


PENDING = 200  # of the last frames, which are certainly not delivered
# The size of the last segment when the market closes: it has more than `PENDING` frames, and is not
# about to be followed by another segment, which begins after 1 MiB.
DAMAGED_BYTES = range(100_000, 900_000)


def segments(journal: Path) -> list[Path]:
    """Return the segments of a journal, oldest first."""
    return sorted(journal.glob("*.log"))


def a_bit(journal: Path) -> int:
    """Flip one bit in the body of a pending record with sound ones after it."""
    last = segments(journal)[-1]
    content = bytearray(last.read_bytes())
    places = _places(content)
    content[places[-PENDING]] ^= 1
    last.write_bytes(content)
    return 1


def the_last_record_cut(journal: Path) -> int:
    """Cut the last record in its body, as a torn write would."""
    last = segments(journal)[-1]
    os.truncate(last, _places(last.read_bytes())[-1])
    return 1  # it was synced


def garbage(journal: Path) -> None:
    """Overwrite 4 KiB of pending records."""
    last = segments(journal)[-1]
    places = _places(last.read_bytes())
    with last.open("r+b") as file:
        file.seek(places[-PENDING])
        file.write(b"\xff" * 4096)


def a_segment_missing(journal: Path) -> int:
    """Delete a segment that holds only pending frames, and has sound ones before and after it."""
    *_, gone, last = segments(journal)
    gone.unlink()
    return int(last.stem) - int(gone.stem)


def longer(journal: Path) -> int:
    """Append what no record is."""
    with segments(journal)[-1].open("ab") as file:
        file.write(bytes(range(256)) * 40)
    return 0


def _places(content: bytes | bytearray) -> list[int]:
    """Return the place of each frame's body: the exchange writes one record a frame."""
    found, place = [], content.find(b"|H0BJCNT0|")
    while place >= 0:
        found.append(place)
        place = content.find(b"|H0BJCNT0|", place + 1)
    return found


@row(
    "C5",
    fault="journal's volume full for 10 s (a 16 MiB tmpfs filled up)",
    expected="L = 0 while Kafka is up; alarm; recovers by itself",
)
async def volume_full(rig: Rig) -> list[Check]:
    """Frames stay in memory and are delivered from there."""
    alarmed, stuck = False, 0
    with contextlib.ExitStack() as stack:
        async with rig.run(prepare=partial(_on_memory, stack)) as run:
            await run.passed(2)
            with volumes.full(run.connector.journal.parent) as fill:
                for _ in range(20):
                    await run.passed(0.5)
                    fill()
                    _, status = await run.connector.ask("/status")
                    alarmed = alarmed or bool(status.get("journal", {}).get("error"))
                    stuck = max(stuck, status.get("frames", {}).get("pending", 0))
            await run.connector.until(partial(writable, run))
    return [
        *run.checks(),
        true("alarm in /status", alarmed),
        at_most("most frames pending while full", stuck, run.rate * 2),
    ]


def _on_memory(stack: contextlib.ExitStack, run: Run) -> None:
    """Put the journal on a tmpfs of 16 MiB, which lives as long as the stack."""
    stack.enter_context(volumes.of_memory(run.connector.journal.parent, 16))


async def writable(run: Run) -> bool:
    """Whether the journal accepts frames again."""
    _, status = await run.connector.ask("/status")
    return bool(status) and not status["journal"]["error"]


async def failing(run: Run) -> bool:
    """Whether `/status` says that the journal cannot be written."""
    _, status = await run.connector.ask("/status")
    return bool(status) and bool(status["journal"]["error"])


@row(
    "C6",
    fault="EIO on the journal's fsync and fdatasync (one of each, by strace)",
    expected="L = 0; that segment is written no more, another begins; alarm",
)
async def sync_fails(rig: Rig) -> list[Check]:
    """A failed sync is never tried again on the same segment."""
    async with rig.run() as run:
        await run.passed(2)
        before = set(segments(run.connector.journal))
        assert run.connector.process is not None
        trace = run.connector.folder / "strace"
        tracer = await asyncio.create_subprocess_exec(
            *("strace", "-f", "-qq", "-p", str(run.connector.process.pid), "-e", "trace=fsync,fdatasync"),
            *("-e", "inject=fsync,fdatasync:error=EIO:when=1", "-o", str(trace)),
        )
        await run.until(lambda: trace.exists() and "EIO" in trace.read_text(), 60)
        await run.passed(3)
        tracer.send_signal(signal.SIGINT)
        await tracer.wait()
        sizes = {path: path.stat().st_size for path in before if path.exists()}
        await run.passed(3)
        grown = [path.name for path in sizes if path.exists() and path.stat().st_size != sizes[path]]
        began = set(segments(run.connector.journal)) - before
        log = run.connector.log.read_text()
    return [
        *run.checks(),
        at_least("segments begun", len(began), 1),
        equal("old segments written on", len(grown), 0),
        true("alarm in the log", "journal_segment_retired" in log),
    ]


@row(
    "C20",
    fault="disk hangs for 30 s: every write and sync blocks in the kernel (ext4 on a loop device, frozen)",
    expected="PINGPONG p99 < 0.1 s; L = 0 and delivery goes on from memory; alarm; recovers by itself",
    is_timed=True,
    why_not=volumes.why_no_disk,
)
async def disk_hangs(rig: Rig) -> list[Check]:
    """The socket waits for no disk."""
    disks: list[volumes.Disk] = []
    waits: list[float] = []
    stuck, alarmed = 0, False

    with contextlib.ExitStack() as stack:

        def on_a_disk(run: Run) -> None:
            disks.append(stack.enter_context(volumes.Disk(run.connector.journal.parent)))

        async with rig.run(prepare=on_a_disk) as run:
            await run.passed(2)
            await rig.off_loop(disks[0].freeze)
            until = asyncio.get_running_loop().time() + 30
            while asyncio.get_running_loop().time() < until:
                waits.append(await seconds_to_answer(run))
                _, status = await run.connector.ask("/status")
                if len(waits) > FIRST_ANSWERS:
                    alarmed = alarmed or bool(status["journal"]["error"])
                    stuck = max(stuck, status["frames"]["pending"])
                await run.passed(0.1)
            await rig.off_loop(disks[0].thaw)
            await run.connector.until(partial(writable, run))
    waits.sort()
    return [
        *run.checks(),
        at_most("p99 of PINGPONG, s", round(waits[int(len(waits) * 0.99)], 3), 0.1),
        at_most("most frames pending while it hangs", stuck, run.rate * 5),
        true("alarm in /status", alarmed),
        equal("counted losses", run.ledger.counted_losses, 0),
        shown("PINGPONGs", len(waits)),
    ]


FIRST_ANSWERS = 30  # about three seconds: a write hangs for one before it counts as hanging


@row(
    "C22",
    fault="volume full, then an orderly stop and a start on the volume that is still full",
    expected="exit 0; a sound journal: nothing corrupt, nothing sent again (D = 0); L = 0",
)
async def full_and_restarted(rig: Rig) -> list[Check]:
    """A full volume damages nothing."""
    with contextlib.ExitStack() as stack:
        async with rig.run(prepare=partial(_on_memory, stack)) as run:
            await run.passed(2)
            with volumes.full(run.connector.journal.parent) as fill:
                await run.connector.until(partial(failing, run))
                fill()
                await run.passed(2)
                code = await run.connector.end()
                fill()
                await started_again(run)
                await run.passed(2)
            await run.connector.until(partial(writable, run))
            await run.passed(1)
    return [
        *run.checks(connects=2),
        equal("exit code of the stop", code, 0),
        equal("D", run.ledger.duplicates, 0),
        equal("counted losses", run.ledger.counted_losses, 0),
    ]


@row(
    "C23",
    fault="other programs in the journal's folder: files, a folder, locks on segments, readers that never stop; a kill",
    expected="none of it matters: L = 0, no tick later than 2.5 s, nothing corrupt; the foreign files stay as they are",
)
async def others_in_the_folder(rig: Rig) -> list[Check]:
    """The journal reads its own files by their names, and locks only its lock."""
    async with rig.run() as run:
        await run.passed(1)
        foreign = _strangers(run.connector.journal)
        codes: list[int] = []
        async with _readers(run, codes):
            await run.passed(5)
        too_late = late(await run.connector.text("/metrics"))
        await run.connector.end(signal.SIGKILL)  # what waited for the start is late after it
        async with _readers(run, codes):
            await started_again(run)
        untouched = all(path.read_bytes() == content for path, content in foreign.items())
    return [
        *run.checks(missed=None, connects=2),
        equal("ticks later than 2.5 s before the kill", too_late, 0),
        equal("counted losses", run.ledger.counted_losses, 0),
        true("foreign files untouched", untouched),
        at_least("runs of journal inspect beside it", len(codes), 2),
        equal("of them failed", sum(map(bool, codes)), 0),
    ]


def _strangers(journal: Path) -> dict[Path, bytes]:
    """Put files of other programs into the folder; return their content."""
    (journal / "lost+found").mkdir()
    (journal / "dangling").symlink_to("nowhere")
    names = (
        "notes.txt",
        "00000000000000000001.log.gz",
        "progress~",
        ".saved.json.swp",
        "1.log",
        "x.log",
        "journal.db-wal",
    )
    content = {journal / name: name.encode() * 100 for name in names}
    for path, text in content.items():
        path.write_bytes(text)
    return content


@contextlib.asynccontextmanager
async def _readers(run: Run, codes: list[int]) -> AsyncIterator[None]:
    """Lock each segment, read all files again and again, and inspect the journal meanwhile."""
    journal = run.connector.journal
    command = (sys.executable, "-m", "connector", "journal", "inspect", "--json")
    environment = {**run.connector.environment}

    async def inspect() -> None:
        while True:
            one = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            codes.append(await one.wait())

    def read() -> None:
        for path in segments(journal):
            with contextlib.suppress(FileNotFoundError):
                path.read_bytes()

    async def reading() -> None:
        while True:
            await asyncio.to_thread(read)
            await asyncio.sleep(0.01)

    inspected = len(codes)
    tasks = [asyncio.create_task(work()) for work in (inspect, reading)]
    with contextlib.ExitStack() as stack:
        for path in segments(journal):
            held = stack.enter_context(path.open("rb"))
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
            while len(codes) == inspected:
                await asyncio.sleep(0.05)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
