"""What a measured pipeline needs to know, and the figures it returns."""

import argparse
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the addresses of feed and Kafka, and the number of ticks."""

    approval_url: str
    websocket_url: str
    bootstrap_servers: str
    topics: dict[str, str]
    ticks: int

    def summary(self, figures: dict[str, Any]) -> dict[str, float]:
        """Return ticks per second, CPU per tick (µs), latency percentiles (ms), peak memory (MB).

        `latencies` are in the order of acknowledgement. The first tenth is left out, because
        connections and caches are cold then.
        """
        latencies = sorted(figures["latencies"][self.ticks // 10 :])
        return {
            "ticks_per_second": round(self.ticks / figures["seconds"]),
            "cpu_us_per_tick": round(figures["cpu_seconds"] / self.ticks * 1e6, 1),
            "p50_ms": round(latencies[len(latencies) // 2] * 1e3, 1),
            "p99_ms": round(latencies[len(latencies) * 99 // 100] * 1e3, 1),
            "peak_mb": figures["peak_mb"],
        }


def arguments() -> Run:
    """Return the run that the command line describes as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=json.loads)
    return Run(**parser.parse_args().run)
