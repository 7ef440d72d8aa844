"""Rows C: faults of the process, its clock and its surroundings."""

import asyncio
import os
import resource
import signal
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
    fault="killed at random instants, 100 times (25 in the quick run), from start-up on",
    expected="L = 0; D ≤ what was in flight or acknowledged within 0.25 s, for each kill; M told",
)
async def killed(rig: Rig) -> list[Check]:
    """Every frame of a finished commit arrives."""
    kills, random = (100 if rig.full else 25), Random(rig.seed)
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
        *await run.audit_checks("killed"),
    ]


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


def own_clock(run: Run, ahead: float) -> None:
    """Set the connector's wall clock this many seconds ahead; the first time before it starts."""
    folder = run.connector.folder
    (folder / "sitecustomize.py").write_text(CLOCK)
    (folder / "shift").write_text(str(ahead))
    run.connector.environment |= {"SHIFT_FILE": str(folder / "shift"), "PYTHONPATH": str(folder)}


@row(
    "C9",
    fault="clock set forward and back by 58 min; midnight in Seoul passes during an outage",
    expected="every tick_id as the exchange's day makes it, on both days",
)
async def clock(rig: Rig) -> list[Check]:
    """The trade date follows from the recorded receive time, waits from the monotonic clock."""
    now = time.time()
    to_midnight = 86400 - (now + SEOUL_HOURS * 3600) % 86400 - 25  # seconds to 25 s before the next midnight in Seoul

    def topics_of_the_future(connector: Deployment) -> None:
        """Create topics whose brokers, with an unmoved clock, accept ticks of a later day."""
        names = connector.names
        create_topics(connector.bootstrap_servers, {names.ticks: 6}, message_timestamp_after_max_ms=str(2**60))
        create_topics(connector.bootstrap_servers, {names.dead_letters: 1, names.events: 6})
        create_topics(connector.bootstrap_servers, {names.control: 1, names.status: 1}, cleanup_policy="compact")

    async with rig.run(
        prepare=lambda run: own_clock(run, to_midnight),
        create_topics=topics_of_the_future,
        exchange={"clock": lambda: time.time() + to_midnight},
        rate=400,
    ) as run:
        await run.passed(2)
        await rig.cluster.away()
        await run.passed(max(0.0, now + 30 - time.time()))
        await rig.cluster.heal()
        run.watch.healed()
        await run.connector.until(partial(little_pending, run), 60)
        for minutes in (58, 0, -58, 0):
            own_clock(run, to_midnight + minutes * 60)
            await run.passed(3)
    return [
        *run.checks(),
        equal("trade dates", len(run.dates), 2),
        shown("ticks by trade date", ", ".join(f"{date} {count}" for date, count in sorted(run.dates.items()))),
    ]


async def little_pending(run: Run) -> bool:
    """Whether the connector has nearly caught up."""
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
        await rig.cluster.away()
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
