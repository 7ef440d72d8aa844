"""The connector as in production, on the prepared feed; prints the figures of one run as JSON."""

import asyncio
import gc
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pipeline import Run, arguments
from connector.app import opened
from connector.cli.run import COLLECT_AFTER
from connector.core.histogram import Latencies
from connector.settings import load


class EveryLatency(Latencies):
    """Saves each latency beside the buckets."""

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__(bounds)
        self.seconds: list[float] = []
        self.first_ns = 0

    def observe(self, started_ns: Sequence[int], ended_ns: int) -> None:
        """Count and save."""
        super().observe(started_ns, ended_ns)
        self.first_ns = min(self.first_ns or started_ns[0], started_ns[0])
        self.seconds.extend((ended_ns - started) / 1e9 for started in started_ns)


async def measure(run: Run) -> dict[str, float]:
    """Deliver all ticks and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load(
            None,
            {
                "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": run.bootstrap_servers,
                "KIS_BOND_KIS__APPROVAL_URL": run.approval_url,
                "KIS_BOND_KIS__WEBSOCKET_URL": run.websocket_url,
                "KIS_BOND_KIS__APPKEY": "k" * 36,
                "KIS_BOND_KIS__APPSECRET": "s" * 180,
                "KIS_BOND_KIS__REGISTER_INTERVAL_SECONDS": "0.01",
                "KIS_BOND_HTTP__PORT": "0",
                "KIS_BOND_JOURNAL__PATH": str(Path(folder) / "journal"),
                **{f"KIS_BOND_TOPICS__{name.upper()}": topic for name, topic in run.topics.items()},
            },
        )
        async with opened(settings) as connector:
            latencies = connector.delivery.counts.latencies = EveryLatency(connector.delivery.counts.latencies.bounds)
            task = asyncio.create_task(connector.run())
            while not connector.journal.received:
                await asyncio.sleep(0.005)
            cpu = time.process_time()
            while connector.delivery.counts.acknowledged < run.ticks:
                await asyncio.sleep(0.005)
            ended_ns, cpu = time.time_ns(), time.process_time() - cpu
            connector.stop()
            await task
    return {"seconds": (ended_ns - latencies.first_ns) / 1e9, "cpu_seconds": cpu, "latencies": latencies.seconds}


def main() -> None:
    """Run once on core 0."""
    os.sched_setaffinity(0, {0})
    run = arguments()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    figures = asyncio.run(measure(run))
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(run.summary(figures)))


if __name__ == "__main__":
    main()
