"""What a measured pipeline is told, and the figures it gives back."""

import argparse
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    """One run: where the feed and Kafka are, how many ticks there will be."""

    approval_url: str
    websocket_url: str
    bootstrap_servers: str
    topics: dict[str, str]
    ticks: int

    def summary(self, figures: dict[str, Any]) -> dict[str, float]:
        """Return ticks per second, CPU per tick in µs, latency percentiles in ms, peak memory in MB.

        `latencies` are in the order of acknowledgement; the first tenth, when connections and caches are cold, is left out.
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
    """Return the run described on the command line, as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=json.loads)
    return Run(**parser.parse_args().run)
