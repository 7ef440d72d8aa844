"""What feed and pipelines are told about a run, and how a pipeline is measured."""

import argparse
import asyncio
import json
import os
import resource
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import percentile

REGISTERED = "registered"  # the line of a pipeline that waits for the first tick
FIGURES = "figures"  # begins the line with a pipeline's figures; its log may go to the same place


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `ticks_per_second` 0 is as fast as possible; `core` is the pipeline's own core.

    In an outage the pipeline gets all ticks while Kafka is away.
    """

    ticks: int
    bonds: int
    prices: int
    core: int
    per_frame: int = 1
    sessions: int = 1
    ticks_per_second: float = 0
    seed: int = 1
    outage: bool = False
    bootstrap_servers: str = ""
    topics: dict[str, str] = field(default_factory=dict)
    approval_url: str = ""
    websocket_url: str = ""

    @property
    def cold_ticks(self) -> int:
        """How many ticks pass before the figures begin.

        At a given pace, caches and connections are cold in the first tenth. After an outage, the
        figures begin with the first acknowledgement.
        """
        if self.outage:
            return 1
        return self.ticks // 10 if self.ticks_per_second else 0


def arguments() -> Run:
    """Return the run that the command line describes as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=json.loads)
    return Run(**parser.parse_args().run)


class Meter:
    """Counts a pipeline's acknowledged ticks, and reads the clocks where the figures begin and end.

    Latencies are from receipt to acknowledgement, in µs. They are kept only at a given pace: at
    full speed they say how long a tick waited for its turn.
    """

    def __init__(self, run: Run) -> None:
        self.done = asyncio.Event()
        self._run = run
        self._keeps_latencies = run.ticks_per_second > 0
        self._latencies = array("L")
        self._acknowledged = 0
        self._began = self._ended = _Reading(0, 0.0, 0.0)
        self._mb_of_first_tenth = 0.0

    async def wait_for_start(self) -> None:
        """Say that every bond is registered, and wait until the benchmark starts the feed."""
        print(REGISTERED, flush=True)
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(sys.stdin, told.set)  # a thread that reads would outlive a pipeline that fails
        await told.wait()
        loop.remove_reader(sys.stdin)
        self._began = _read(0)
        print("started", flush=True)

    def acknowledge(self, received_ns: Sequence[int], now_ns: int) -> None:
        """Count a batch of acknowledged ticks by their receive times."""
        if self._keeps_latencies:
            self._latencies.extend([(now_ns - received) // 1000 for received in received_ns])
        self._count(len(received_ns))

    def acknowledge_one(self, received_ns: int) -> None:
        """Count one acknowledged tick."""
        if self._keeps_latencies:
            self._latencies.append((time.time_ns() - received_ns) // 1000)
        self._count(1)

    def _count(self, ticks: int) -> None:
        before = self._acknowledged
        self._acknowledged = after = before + ticks
        if before < self._run.cold_ticks <= after:
            self._began = _read(after)
        if before < self._run.ticks // 10 <= after:
            self._mb_of_first_tenth = _resident_mb()
        if before < self._run.ticks <= after:
            self._ended = _read(after)
            self.done.set()

    def figures(self) -> dict[str, float | None]:
        """Return ticks/s, CPU per tick (µs), latency percentiles (ms) and memory (MB).

        Memory is the peak, and what is resident after a tenth of the ticks and at present.
        """
        ticks = self._ended.ticks - self._began.ticks
        latencies = sorted(self._latencies[self._run.cold_ticks :])
        return {
            "ticks_per_second": round(ticks / (self._ended.seconds - self._began.seconds)),
            "cpu_us_per_tick": round((self._ended.cpu_seconds - self._began.cpu_seconds) / ticks * 1e6, 1),
            "p50_ms": percentile(latencies, 50) / 1000 if latencies else None,
            "p99_ms": percentile(latencies, 99) / 1000 if latencies else None,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "early_mb": self._mb_of_first_tenth,
            "late_mb": _resident_mb(),
        }


@dataclass(frozen=True, slots=True)
class _Reading:
    ticks: int
    seconds: float
    cpu_seconds: float


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _read(ticks: int) -> _Reading:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return _Reading(ticks, time.perf_counter(), used.ru_utime + used.ru_stime)


def measure(pipeline: Callable[[Run, Meter], Awaitable[Any]]) -> None:
    """Run a pipeline on its own core as the command line says, and print its figures as JSON."""
    run = arguments()
    os.sched_setaffinity(0, {run.core})

    async def measured() -> Meter:
        meter = Meter(run)
        await pipeline(run, meter)
        return meter

    print(FIGURES, json.dumps(asyncio.run(measured()).figures()), flush=True)
