"""Rows C: faults of the process, its disk, its clock and its surroundings."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random

import aiohttp

from tests.deployment import Deployment
from tests.faults.rig import Rig, Run
from tests.faults.row import Check, at_least, at_most, equal, row, shown, true
from tests.kafka.reader import create_topics

PROGRESS_SECONDS = 0.25  # a kill may repeat the acknowledged ticks of this span, and those in flight
SEOUL_HOURS = 9


@row(
    "C1",
    fault="stopped by SIGTERM under load, started again, three times",
    expected="M = 0 up to the close, D = 0, exit 0 in less than 10 s",
)
async def stopped(rig: Rig) -> list[Check]:
    """Leave KIS, read the rest, deliver, end."""
    seconds: list[float] = []
    codes = []
    async with rig.run() as run:
        for _ in range(3):
            await run.passed(2)
            since = time.monotonic()
            codes.append(await run.connector.end())
            seconds.append(time.monotonic() - since)
            await started_again(run)
    return [
        *run.checks(connects=4),
        equal("D", run.ledger.duplicates, 0),
        true("exit 0 each time", codes == [0, 0, 0]),
        at_most("longest stop, s", max(seconds), 10),
    ]


async def started_again(run: Run) -> None:
    """Start the connector, and wait until all bonds are active."""
    await run.connector.start()
    await run.connector.until_state("ACTIVE", run.isins, 60)


@row(
    "C2",
    fault="killed at random instants, 100 times (50 in the quick run), from start-up on",
    expected="L = 0; D ≤ what was in flight or acknowledged within 0.25 s, for each kill; M told",
)
async def killed(rig: Rig) -> list[Check]:
    """Every frame of a finished commit arrives."""
    kills, random = (100 if rig.full else 50), Random(rig.seed)
    async with rig.run(rate=1000) as run:
        for _ in range(kills):
            await run.passed(random.uniform(0.2, 2.5))
            await run.connector.end(signal.SIGKILL)
            await run.connector.start()
        await run.connector.until_state("ACTIVE", run.isins, 60)
    return [
        *run.checks(missed=None, connects=kills + 1),
        shown("kills", kills),
        shown("M, between the socket and the journal", run.ledger.missed),
        at_most("D for each kill", round(run.ledger.duplicates / kills, 1), run.rate * (PROGRESS_SECONDS + 0.5)),
    ]


@row(
    "C3",
    fault="killed at random instants while the journal inserts, prunes and checkpoints all the time, 100 times",
    expected="100 of 100 starts; every committed frame there, integrity_check ok, the law holds",
)
async def killed_in_the_journal(rig: Rig) -> list[Check]:
    """Only the journal runs, so that kills fall between and inside its steps."""
    random, folder = Random(rig.seed), Path(tempfile.mkdtemp(prefix="kis-bond-journal-"))
    starts = missing = broken = committed = 0
    for _ in range(100):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.journal_child", str(folder / "journal.db")), stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        opened = json.loads(await asyncio.wait_for(child.stdout.readline(), 30))
        starts += 1
        missing += max(committed - opened["last_seq"], 0) + opened["holes"]
        broken += opened["received"] != opened["finished"] + opened["readable"] + opened["lost"]
        broken += opened["pending"] != opened["readable"]
        await asyncio.sleep(random.uniform(0.0, 0.25))
        child.kill()
        printed_numbers = (await child.stdout.read()).split(b"\n")[:-1]
        await child.wait()
        committed = max([committed, *(int(line) for line in printed_numbers)])
    with contextlib.closing(sqlite3.connect(folder / "journal.db")) as database:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
    shutil.rmtree(folder)
    return [
        equal("starts", starts, 100),
        at_least("frames committed", committed, 10_000),
        equal("committed frames missing", missing, 0),
        equal("law broken", broken, 0),
        true("integrity_check ok", verdict == "ok"),
    ]


@row(
    "C4",
    fault="killed with frames pending, then: a bit flipped in a row; -wal cut in half; a page of garbage",
    expected="starts each time; what cannot be read is counted, the rest arrives; the file set aside is there",
)
async def journal_damaged(rig: Rig) -> list[Check]:
    """Only a cut log loses silently, as in SQLite: no restart knows of its frames.

    They count as missed here.
    """
    corrupt: dict[str, int] = {}
    async with rig.run() as run:
        journal, before = run.connector.journal, 0
        for damage in (a_bit_of_a_row, half_the_log, a_page):
            await run.passed(1)
            for broker in rig.cluster.brokers:
                await rig.off_loop(broker.server.kill)
            await run.passed(4)
            await run.connector.end(signal.SIGKILL)
            await rig.off_loop(partial(damage, journal))
            await rig.cluster.heal()
            await started_again(run)
            await run.connector.until(partial(_little_pending, run), 60)
            _, status = await run.connector.ask("/status")
            now = sum(status["frames"]["lost"].values())
            corrupt[damage.__name__], before = now - before, now
        aside = [
            path.name
            for path in journal.parent.glob("journal.db.corrupt-*")
            if not path.name.endswith(("-wal", "-shm"))
        ]
    ledger = run.ledger
    return [
        *run.checks(missed=None, connects=4),
        equal("counted as corrupt after a bit of a row", corrupt["a_bit_of_a_row"], 1),
        equal("counted after half the log", corrupt["half_the_log"], 0),
        at_least("counted after a page", corrupt["a_page"], 1),
        at_least("files set aside", len(aside), 1),
        shown("M, by the cut log and between socket and journal at the kills", ledger.missed),
    ]


def a_bit_of_a_row(journal: Path) -> None:
    """Flip one bit in the last frame, which is not delivered."""
    with contextlib.closing(sqlite3.connect(journal)) as database:
        seq, raw = database.execute("SELECT seq, raw FROM frame ORDER BY seq DESC LIMIT 1").fetchone()
        database.execute("UPDATE frame SET raw = ? WHERE seq = ?", (raw[:-1] + bytes([raw[-1] ^ 1]), seq))
        database.commit()


def half_the_log(journal: Path) -> None:
    """Cut SQLite's own log in half, as a torn write would."""
    log = Path(f"{journal}-wal")
    os.truncate(log, log.stat().st_size // 2)


def a_page(journal: Path) -> None:
    """Overwrite one of the last leaves of the frame table, with pending frames, by garbage."""
    with contextlib.closing(sqlite3.connect(journal)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = journal.read_bytes()
    leaves = [
        place
        for place in range(4096, len(content), 4096)
        if content[place] == 13 and b"H0BJCNT0" in content[place : place + 4096]
    ]
    with journal.open("r+b") as file:
        file.seek(leaves[-3])
        file.write(b"\xff" * 4096)


@row(
    "C5",
    fault="journal's volume full for 10 s (a 16 MiB tmpfs filled up)",
    expected="L = 0 while Kafka is up; alarm; recovers by itself",
)
async def volume_full(rig: Rig) -> list[Check]:
    """Frames stay in memory and are delivered from there."""
    volumes: list[Path] = []

    def on_a_small_volume(run: Run) -> None:
        volumes.append(mounted(run, 16))

    alarmed, stuck = False, 0
    try:
        async with rig.run(prepare=on_a_small_volume) as run:
            await run.passed(2)
            filler = volumes[0] / "filler"
            fill(filler)
            for _ in range(20):
                await run.passed(0.5)
                fill(filler)
                _, status = await run.connector.ask("/status")
                alarmed = alarmed or bool(status.get("journal", {}).get("error"))
                stuck = max(stuck, status.get("frames", {}).get("pending", 0))
            filler.unlink()
            await run.connector.until(partial(writable, run))
    finally:
        for volume in volumes:
            await rig.off_loop(partial(subprocess.run, ["umount", "-l", volume], check=True))
    return [
        *run.checks(),
        true("alarm in /status", alarmed),
        at_most("most frames pending while full", stuck, run.rate * 2),
    ]


def mounted(run: Run, mib: int) -> Path:
    """Mount a small tmpfs for the journal and return its folder. Needs root."""
    folder = run.connector.journal.parent
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", folder], check=True)
    return folder


def fill(path: Path) -> None:
    """Fill a volume."""
    with path.open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 4096)
        except OSError:
            return


async def writable(run: Run) -> bool:
    """Whether the journal accepts frames again."""
    _, status = await run.connector.ask("/status")
    return bool(status) and not status["journal"]["error"]


@row(
    "C6",
    fault="EIO on the journal's fsync and fdatasync (one of each, by strace)",
    expected="L = 0; the file is set aside, a new one begins",
)
async def sync_fails(rig: Rig) -> list[Check]:
    """A failed sync is never tried again on the same file."""
    async with rig.run() as run:
        await run.passed(2)
        assert run.connector.process is not None
        tracer = await asyncio.create_subprocess_exec(
            *("strace", "-f", "-qq", "-p", str(run.connector.process.pid), "-e", "trace=fsync,fdatasync"),
            *("-e", "inject=fsync,fdatasync:error=EIO:when=1", "-o", str(run.connector.folder / "strace")),
        )
        await run.until(lambda: "EIO" in _text(run.connector.folder / "strace"), 60)
        await run.passed(3)
        tracer.send_signal(signal.SIGINT)
        await tracer.wait()
        await run.passed(3)
        _, status = await run.connector.ask("/status")
        log = run.connector.log.read_text()
    return [
        *run.checks(),
        equal("files set aside", status["journal"]["set_aside"], 1),
        true("alarm in the log", "journal_set_aside" in log),
    ]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


# Python's wall clock, moved by a file's content; the monotonic clock does not move.
CLOCK = """
import os, time
_time, _time_ns, _read = time.time, time.time_ns, [0.0, 0.0]
def _shift():
    if time.monotonic() > _read[0]:
        _read[0] = time.monotonic() + 0.2
        with open(os.environ["SHIFT_FILE"]) as file:
            _read[1] = float(file.read() or _read[1])
    return _read[1]
time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + int(_shift() * 1e9)
"""


@row(
    "C9",
    fault="clock set forward and back by 58 min; midnight in Seoul passes during an outage",
    expected="every tick_id as the exchange's day makes it, on both days",
)
async def clock(rig: Rig) -> list[Check]:
    """The trade date follows from the recorded receive time, waits from the monotonic clock."""
    now = time.time()
    to_midnight = 86400 - (now + SEOUL_HOURS * 3600) % 86400 - 25  # seconds to 25 s before the next midnight in Seoul

    def with_a_clock_of_its_own(run: Run) -> None:
        shift = run.connector.folder / "shift"
        shift.write_text(str(to_midnight))
        (run.connector.folder / "sitecustomize.py").write_text(CLOCK)
        run.connector.environment |= {"SHIFT_FILE": str(shift), "PYTHONPATH": str(run.connector.folder)}

    def topics_of_the_future(connector: Deployment) -> None:
        """Create topics whose brokers, with an unmoved clock, accept ticks of a later day."""
        names = connector.names
        create_topics(connector.bootstrap_servers, {names.ticks: 6}, message_timestamp_after_max_ms=str(2**60))
        create_topics(connector.bootstrap_servers, {names.dead_letters: 1, names.events: 6})
        create_topics(connector.bootstrap_servers, {names.control: 1, names.status: 1}, cleanup_policy="compact")

    async with rig.run(
        prepare=with_a_clock_of_its_own,
        create_topics=topics_of_the_future,
        exchange={"clock": lambda: time.time() + to_midnight},
        rate=400,
    ) as run:
        await run.passed(2)
        for broker in rig.cluster.brokers:
            await rig.off_loop(broker.server.kill)
        await run.passed(max(0.0, now + 30 - time.time()))
        await rig.cluster.heal()
        run.watch.healed()
        await run.connector.until(partial(_little_pending, run), 60)
        for minutes in (58, 0, -58, 0):
            (run.connector.folder / "shift").write_text(str(to_midnight + minutes * 60))
            await run.passed(3)
    return [
        *run.checks(),
        equal("trade dates", len(run.dates), 2),
        shown("ticks by trade date", ", ".join(f"{date} {count}" for date, count in sorted(run.dates.items()))),
    ]


async def _little_pending(run: Run) -> bool:
    _, status = await run.connector.ask("/status")
    return bool(status) and status["frames"]["pending"] < 200


@row(
    "C13",
    fault="secrets swapped as the kubelet does (a symlink renamed)",
    expected="no disconnect; the next connect uses the new pair",
)
async def secrets_swapped(rig: Rig) -> list[Check]:
    """Rotation needs no restart and costs no session."""
    pairs = [("test-appkey-0", "test-appsecret-0"), ("test-appkey-1", "test-appsecret-1")]

    def mounted_secret(run: Run) -> None:
        run.connector.use_app_keys(1)
        _publish(run.connector.folder / "credentials", *pairs[0], first=True)

    async with rig.run(prepare=mounted_secret, exchange={"app_keys": pairs}) as run:
        await run.passed(2)
        _publish(run.connector.folder / "credentials", *pairs[1], first=False)
        await run.passed(4)
        connects = len(run.kis.connects)
        await run.kis.drop(0, "close=1001")
        await run.until(lambda: any(asked.app_key == 1 for asked in run.kis.approvals))
        await run.connector.until_state("ACTIVE", run.isins, 60)
        used = [asked.app_key for asked in run.kis.approvals]
    return [
        *run.checks(connects=2),
        equal("connects until the session ended", connects, 1),
        shown("app keys asked with", ", ".join(map(str, used))),
    ]


def _publish(folder: Path, appkey: str, appsecret: str, *, first: bool) -> None:
    """Write a pair like a mounted Kubernetes secret, and point `..data` to it in one rename."""
    version = folder / f"..{time.time_ns()}"
    version.mkdir()
    (version / "appkey-0").write_text(appkey)
    (version / "appsecret-0").write_text(appsecret)
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    if first:
        for name in ("appkey-0", "appsecret-0"):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(f"..data/{name}")


@row(
    "C14",
    fault="stdout blocked from the start, for the whole run, at level debug",
    expected="event loop answers: p99 of /livez ≤ 50 ms",
    is_timed=True,
)
async def stdout_blocked(rig: Rig) -> list[Check]:
    """Logging never waits: the queue fills, and further lines are dropped and counted."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"\0" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    lags: list[float] = []
    try:
        async with rig.run(settings={"LOG__LEVEL": "debug"}) as run:
            await run.connector.end()
            await run.connector.start(stdout=writing)
            await run.connector.until_state("ACTIVE", run.isins, 60)
            until = time.monotonic() + 10
            async with aiohttp.ClientSession() as client:
                while time.monotonic() < until:
                    since = time.monotonic()
                    async with client.get(f"http://127.0.0.1:{run.connector.port}/livez") as answer:
                        await answer.read()
                    lags.append(time.monotonic() - since)
                    await asyncio.sleep(0.02)
    finally:
        os.close(reading)
        os.close(writing)
    lags.sort()
    return [
        *run.checks(connects=2),
        at_most("p99 of /livez, ms", round(1000 * lags[int(len(lags) * 0.99)], 1), 50),
        shown("asked", len(lags)),
    ]


@row(
    "C15",
    fault="no file descriptor left for 10 s, and 20 clients that ask for /metrics and never read",
    expected="no tick acknowledged later than 2.5 s after its receipt, L = 0",
)
async def starved_of_descriptors(rig: Rig) -> list[Check]:
    """Slow or many scrapers cost the ticks nothing."""
    async with rig.run() as run:
        await run.passed(2)
        pid = run.connector.process.pid if run.connector.process else 0
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(await rig.off_loop(partial(os.listdir, f"/proc/{pid}/fd")))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, before[1]))
        slow = [await _slow_client(run) for _ in range(20)]
        await run.passed(10)
        for writer in slow:
            writer.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        await run.passed(1)
    return [*run.checks(), equal("ticks later than 2.5 s", run.late, 0), shown("descriptors", used + 5)]


async def _slow_client(run: Run) -> asyncio.StreamWriter:
    """Ask for /metrics, and read nothing of the answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", run.connector.port, limit=16)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return writer


@row(
    "C16",
    fault="all brokers away when it starts, for 15 s",
    expected="ticks captured from the first second on, from the saved lists; L = M = 0",
)
async def started_without_kafka(rig: Rig) -> list[Check]:
    """Capturing needs nothing from Kafka."""
    async with rig.run() as run:
        await run.passed(1)
        assert await run.connector.end() == 0
        for broker in rig.cluster.brokers:
            await rig.off_loop(broker.server.kill)
        since = time.monotonic()
        await run.connector.start()
        sent = len(run.kis.sent)
        await run.until(lambda: len(run.kis.sent) > sent, 30)
        first = time.monotonic() - since
        await run.passed(max(0.0, 15 - first))
        _, status = await run.connector.ask("/status")
        await rig.cluster.heal()
        run.watch.healed()
    return [
        *run.checks(connects=2),
        at_most("first tick after the process began, s", round(first, 2), 8),
        at_least("frames pending when Kafka came back", status["frames"]["pending"], 1000),
    ]
