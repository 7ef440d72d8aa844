"""What one connector carries: a thousand bonds, bursts of control records, a bond that flaps."""

import asyncio
import http.client
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from connector.core.bonds.isin import with_check_digit
from simulator import Simulator
from tests.deployment import Deployment

APP_KEYS = 25
PLACES = 41 * APP_KEYS
ISINS = [with_check_digit(f"KR{number:09}") for number in range(10_000)]
DESK = ISINS[:1000]
EDITS = 10_000
TURNS = 60
TURN_SECONDS = 0.25
QUIET_SECONDS = 5
POLL_SECONDS = 0.01
DEADLINE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured line: what, the figure, its upper bound (None: no bound), and the unit."""

    what: str
    value: float
    bound: float | None
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is within its bound."""
        return self.bound is None or self.value <= self.bound


class Watch:
    """Asks /livez a hundred times a second from its own thread, and records how long it waits."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.waits: list[float] = []
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        """Watch while the block lasts."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._stop.wait(POLL_SECONDS):
            asked_at = time.monotonic()
            connection.request("GET", "/livez")
            connection.getresponse().read()
            self.waits.append(time.monotonic() - asked_at)
        connection.close()

    def longest(self, during: str, bound: float | None) -> Figure:
        """Return the longest wait, ms."""
        return Figure(f"{during}: longest wait of /livez", max(self.waits) * 1000, bound, "ms")


class Bench:
    """One deployment, and the operating system's figures of its process."""

    def __init__(self, own: Deployment) -> None:
        self.own = own

    @property
    def pid(self) -> int:
        """The connector's process."""
        assert self.own.process is not None
        return self.own.process.pid

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self, which: str) -> float:
        """Return `VmRSS` (now) or `VmHWM` (the peak)."""
        line = next(
            line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith(which)
        )
        return int(line.split()[1]) / 1024

    async def states(self) -> dict[str, float]:
        """Return the number of instruments in each state."""
        found = {}
        for line in (await self.own.text("/metrics")).splitlines():
            if line.startswith("kis_bond_instruments{"):
                found[line.split('"')[1]] = float(line.rpartition(" ")[2])
        return found

    async def until_states(self, **expected: int) -> None:
        """Wait until so many instruments are in these states."""

        async def reached() -> bool:
            found = await self.states()
            return all(found.get(state) == count for state, count in expected.items())

        await self.own.until(reached, DEADLINE_SECONDS)

    def write(self, records: list[tuple[str, str]]) -> None:
        """Write control records with another client, in order, until the broker has them."""
        producer = Producer({"bootstrap.servers": self.own.bootstrap_servers, "log_level": 0, "linger.ms": 20})
        for key, value in records:
            producer.produce(self.own.names.control, value, key)
            producer.poll(0)
        assert producer.flush(30) == 0


def _list(instruments: list[str], priority: int) -> str:
    quoted = ", ".join(f'"{isin}"' for isin in instruments)
    return f'{{"instruments": [{quoted}], "priority": {priority}, "requested_at": "2026-01-02T09:00:00+09:00"}}'


async def start(bootstrap_servers: str, names: Any, folder: Path, counted: str) -> list[Figure]:
    """Start with 1,000 wanted bonds and 25 app keys until every bond is active."""
    async with Simulator(approvals_counted=counted) as kis:
        started = time.monotonic()
        async with _running(kis, bootstrap_servers, names, folder) as bench:
            seconds = time.monotonic() - started
            figures = _figures_of_start(kis, bench, seconds, 30 if counted != "together" else 60)
            assert await bench.own.end() == 0
        return figures


@asynccontextmanager
async def _running(kis: Simulator, bootstrap_servers: str, names: Any, folder: Path) -> AsyncIterator[Bench]:
    """Give a connector with 25 app keys and 1,000 active bonds, at KIS's pace."""
    own = Deployment(kis, bootstrap_servers, names, folder)
    del own.environment["KIS_BOND_KIS__REGISTER_INTERVAL_SECONDS"]
    own.use_app_keys(APP_KEYS)
    own.create_topics()
    bench = Bench(own)
    bench.write([("desk", _list(DESK, 9))])
    await own.start()
    try:
        await bench.until_states(ACTIVE=len(DESK))
        yield bench
    finally:
        await own.end(signal.SIGKILL)


def _figures_of_start(kis: Simulator, bench: Bench, seconds: float, bound: float) -> list[Figure]:
    assert sum(len(session.tr_keys) for session in kis.sessions) == len(DESK)
    return [
        Figure("all 1,000 bonds ACTIVE after", seconds, bound, "s"),
        Figure("approval keys refused (EGW00201)", [asked.code for asked in kis.approvals].count("EGW00201"), 1),
        Figure("connections", len(kis.connects), APP_KEYS),
        Figure("most bonds on one session", max(len(session.tr_keys) for session in kis.sessions), 41),
        Figure("requests beside one registration for each bond", len(kis.replies) - len(DESK), 0),
        Figure("requests in the busiest second of one session", _busiest_second(kis), 6),
        Figure("memory (RSS)", bench.memory_mib("VmRSS"), 250, "MiB"),
        Figure("CPU time so far", bench.cpu_seconds(), None, "s"),
    ]


def _busiest_second(kis: Simulator) -> int:
    times = defaultdict(list)
    for answer in kis.replies:
        times[answer.session].append(answer.at)
    return max(sum(at <= other < at + 10**9 for other in of_one) for of_one in times.values() for at in of_one)


async def changes(bootstrap_servers: str, names: Any, folder: Path) -> list[Figure]:
    """Change the lists of a connector with 1,000 bonds: one bond in turns, then bursts."""
    async with Simulator(rate=200, keep_sent=False) as kis:
        async with _running(kis, bootstrap_servers, names, folder) as bench:
            figures = [
                await _nothing(bench),
                *await _turns(bench, kis),
                *await _edits(bench),
                *await _lists(bench),
                *await _long_list(bench),
            ]
            figures.append(Figure("memory (RSS), the most so far", bench.memory_mib("VmHWM"), 400, "MiB"))
            figures.append(Figure("connections", len(kis.connects), APP_KEYS))
            assert await bench.own.end() == 0
        return figures


async def _nothing(bench: Bench) -> Figure:
    """Write nothing for a while, to see the cost of ticks and measuring alone."""
    with Watch(bench.own.port).running() as watch:
        await asyncio.sleep(QUIET_SECONDS)
    return watch.longest("nothing written", None)


async def _turns(bench: Bench, kis: Simulator) -> list[Figure]:
    """Want and withdraw one bond in turns, a quarter of a second each."""
    flapping, before = ISINS[5000], len(kis.replies)
    for _ in range(TURNS):
        bench.own.write(flapping, {})
        await asyncio.sleep(TURN_SECONDS)
        bench.own.write(flapping, None)
        await asyncio.sleep(TURN_SECONDS)
    of_it = [answer for answer in kis.replies if answer.tr_key == flapping]
    return [
        Figure(f"one bond wanted and withdrawn {TURNS} times: requests to KIS about it", len(of_it), 8),
        Figure("and about all bonds, for some move out of its way", len(kis.replies) - before, 40),
    ]


async def _edits(bench: Bench) -> list[Figure]:
    """Write one list 10,000 times."""
    cpu = bench.cpu_seconds()
    with Watch(bench.own.port).running() as watch:
        started = time.monotonic()
        await asyncio.to_thread(
            bench.write, [("edits", _list(DESK[number % 980 : number % 980 + 20], 1)) for number in range(EDITS)]
        )

        async def settled() -> bool:
            _, status = await bench.own.ask("/status")
            control = status["lists"].get("edits", {}).get("in_force", {}).get("value", {})
            return bool(control.get("instruments") == DESK[(EDITS - 1) % 980 : (EDITS - 1) % 980 + 20])

        await bench.own.until(settled, DEADLINE_SECONDS)
        seconds = time.monotonic() - started
    return [
        Figure("one list written 10,000 times: in force after", seconds, 30, "s"),
        Figure("one list written 10,000 times: CPU time", bench.cpu_seconds() - cpu, 15, "s"),
        watch.longest("one list written 10,000 times", 100),
    ]


async def _lists(bench: Bench) -> list[Figure]:
    """Write 10,000 lists of one bond each: 1,025 bonds have a place, the others wait."""
    cpu = bench.cpu_seconds()
    with Watch(bench.own.port).running() as watch:
        started = time.monotonic()
        await asyncio.to_thread(bench.write, [(isin, "{}") for isin in ISINS])
        await bench.until_states(WAITING_CAPACITY=len(ISINS) - PLACES)
        seconds = time.monotonic() - started
        await bench.until_states(ACTIVE=PLACES, WAITING_CAPACITY=len(ISINS) - PLACES)
    return [
        Figure("10,000 lists written: desired and placed after", seconds, 30, "s"),
        Figure("10,000 lists written: CPU time", bench.cpu_seconds() - cpu, 20, "s"),
        watch.longest("10,000 lists written", None),
    ]


async def _long_list(bench: Bench) -> list[Figure]:
    """Write one list of 10,000 bonds that are all desired already, to see the cost of reading."""
    cpu = bench.cpu_seconds()
    with Watch(bench.own.port).running() as watch:
        started = time.monotonic()
        await asyncio.to_thread(bench.write, [("long", _list(ISINS, 0))])

        async def accepted() -> bool:
            return any(record.key == b"list/long" for record in await bench.own.records(bench.own.names.status))

        await bench.own.until(accepted, DEADLINE_SECONDS)
        seconds = time.monotonic() - started
    return [
        Figure("one list of 10,000 bonds: accepted after", seconds, 30, "s"),
        Figure("one list of 10,000 bonds: CPU time", bench.cpu_seconds() - cpu, 10, "s"),
        watch.longest("one list of 10,000 bonds", None),
    ]
