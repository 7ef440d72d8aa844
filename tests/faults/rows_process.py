"""Rows C: what may happen to the process, its disk, its clock and its surroundings."""

import asyncio
import os
import resource
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from random import Random

import aiohttp

from tests.faults.rig import Rig, Run
from tests.faults.row import Check, at_least, at_most, equal, row, told, true
from tests.faults.rows_kafka import figures

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
PROGRESS_SECONDS = 0.25  # how much of what Kafka acknowledged a kill may repeat, beside what was in flight
SEOUL_HOURS = 9


@row(
    "C1",
    fault="stopped by SIGTERM under load, started again, three times",
    expected="M = 0 up to the close, D = 0, exit 0 in less than 10 s",
)
async def stopped(rig: Rig) -> list[Check]:
    """Leave KIS, read what is left, deliver, end."""
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
        *figures(run),
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
    """Everything past the journal's commit arrives."""
    kills, random = (100 if rig.full else 50), Random(rig.seed)
    async with rig.run(rate=1000) as run:
        for _ in range(kills):
            await run.passed(random.uniform(0.2, 2.5))
            await run.connector.end(signal.SIGKILL)
            await run.connector.start()
        await run.connector.until_state("ACTIVE", run.isins, 60)
    return [
        *run.checks(missed=None, connects=kills + 1),
        told("kills", kills),
        told("M, between the socket and the journal", run.ledger.missed),
        at_most("D for each kill", round(run.ledger.duplicates / kills, 1), run.rate * (PROGRESS_SECONDS + 0.5)),
        told("D", run.ledger.duplicates),
        *figures(run),
    ]


@row("C5", fault="journal's volume full for 10 s (a 16 MiB tmpfs filled up)", expected="L = 0 while Kafka is up; alarm; recovers by itself")
async def volume_full(rig: Rig) -> list[Check]:
    """Frames are kept in memory and shipped."""
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
        told("D", run.ledger.duplicates),
        *figures(run),
    ]


def mounted(run: Run, mib: int) -> Path:
    """Mount a small tmpfs where the journal goes, and return its folder. Needs root."""
    folder = run.connector.journal.parent
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", folder], check=True)
    return folder


def fill(path: Path) -> None:
    """Take the rest of a volume."""
    with path.open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 4096)
        except OSError:
            return


async def writable(run: Run) -> bool:
    """Tell whether the journal takes frames again."""
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
        aside = sorted(path.name for path in run.connector.journal.parent.glob("journal.db.*-*"))
        log = run.connector.log.read_text()
    return [
        *run.checks(),
        at_least("files set aside", len([name for name in aside if not name.endswith(("-wal", "-shm"))]), 1),
        true("alarm in the log", "journal_set_aside" in log),
        told("D", run.ledger.duplicates),
        *figures(run),
    ]


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@row(
    "C9",
    fault="clock set forward and back by an hour; midnight in Seoul passes during an outage",
    expected="every tick_id as computed by the exchange's day",
)
async def clock(rig: Rig) -> list[Check]:
    """The trade date comes from the recorded receive time, waits from the monotonic clock."""
    now = time.time()
    seoul = (now + SEOUL_HOURS * 3600) % 86400
    to_midnight = 86400 - seoul - 20  # seconds to 20 s before the next midnight in Seoul

    def with_a_clock_of_its_own(run: Run) -> None:
        shift = run.connector.folder / "shift"
        shift.write_text(f"{to_midnight:+.0f}")
        run.connector.environment |= {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(shift),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "0",
        }

    async with rig.run(prepare=with_a_clock_of_its_own, exchange={"clock": lambda: time.time() + to_midnight}, rate=400) as run:
        shift = run.connector.folder / "shift"
        await run.passed(2)
        for broker in rig.cluster.brokers:
            await rig.off_loop(broker.server.kill)
        await run.passed(max(0.0, now + 26 - time.time()))
        await rig.cluster.heal()
        run.watch.healed()
        await run.connector.until(partial(_little_pending, run))
        for hours in (1, 0, -1, 0):
            # An hour ahead of the exchange, the last trade of the day before could be meant: the bound of the contract is one hour.
            shift.write_text(f"{to_midnight + hours * 3500:+.0f}")
            await run.passed(3)
    dates = run.dates
    return [
        *run.checks(),
        equal("trade dates", len(dates), 2),
        told("ticks by trade date", ", ".join(f"{date} {count}" for date, count in sorted(dates.items()))),
        told("D", run.ledger.duplicates),
        *figures(run),
    ]


async def _little_pending(run: Run) -> bool:
    _, status = await run.connector.ask("/status")
    return bool(status) and status["frames"]["pending"] < 200


@row("C13", fault="secrets swapped as the kubelet does (a symlink renamed)", expected="no disconnect; the next connect uses the new pair")
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
        told("app keys asked with", ", ".join(map(str, used))),
        *figures(run),
    ]


def _publish(folder: Path, appkey: str, appsecret: str, *, first: bool) -> None:
    """Lay a pair out as a mounted Kubernetes secret, and point `..data` at it with one rename."""
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


@row("C14", fault="stdout blocked from the start, for the whole run, at level debug", expected="event loop answers: p99 of /livez ≤ 50 ms")
async def stdout_blocked(rig: Rig) -> list[Check]:
    """Logging never waits: the queue fills, lines are dropped and counted."""
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
        told("asked", len(lags)),
        *figures(run),
    ]


@row("C15", fault="no file descriptor left, and 20 clients that read /metrics a byte at a time", expected="U ≤ 2 s, L = 0")
async def starved_of_descriptors(rig: Rig) -> list[Check]:
    """Whoever scrapes slowly or in numbers costs the ticks nothing."""
    async with rig.run() as run:
        await run.passed(2)
        pid = run.connector.process.pid if run.connector.process else 0
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(await rig.off_loop(partial(os.listdir, f"/proc/{pid}/fd")))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, before[1]))
        slow = await asyncio.gather(*(_slow_client(run) for _ in range(20)), return_exceptions=True)
        for _ in range(10):
            await run.passed(1)
            for client in slow:
                if not isinstance(client, BaseException):
                    with_one_byte = client[0].read(1)
                    await asyncio.wait([asyncio.create_task(with_one_byte)], timeout=0.05)
        for client in slow:
            if not isinstance(client, BaseException):
                client[1].close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    return [*run.checks(), at_most("U, s", run.ledger.longest_gap_seconds, 2), told("descriptors", used + 5), *figures(run)]


async def _slow_client(run: Run) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for /metrics on a connection that takes next to nothing at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", run.connector.port, limit=16)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    return reader, writer


@row(
    "C16",
    fault="all brokers away when it starts, for 15 s",
    expected="ticks captured from the first second on, from the saved lists; L = M = 0",
)
async def started_without_kafka(rig: Rig) -> list[Check]:
    """Capturing waits for nothing of Kafka's."""
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
        told("D", run.ledger.duplicates),
        *figures(run),
    ]
