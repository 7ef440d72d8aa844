"""Measures the connector beside a straightforward pipeline: same frames, same Kafka, in turn.

The pipeline has core 0 to itself; the feed, the broker and this program share core 1.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.kafka.launcher import find_kafka
from tests.kafka.reader import create_topics

ROOT = Path(__file__).parents[1]
PIPELINES = {"connector": "benchmarks.ours", "straightforward": "benchmarks.straightforward"}
FIGURES = ("ticks_per_second", "cpu_us_per_tick", "p50_ms", "p99_ms", "peak_mb")


def run_once(
    pipeline: str, bootstrap_servers: str, ticks: int, per_frame: int, ticks_per_second: float = 0
) -> dict[str, float]:
    """Run one pipeline on its own feed and topics and return its figures."""
    topics = {
        name: f"bench-{time.time_ns()}-{name.replace('_', '-')}"
        for name in ("ticks", "dead_letters", "control", "status", "events")
    }
    create_topics(bootstrap_servers, {topics["ticks"]: 6, topics["dead_letters"]: 1, topics["events"]: 1})
    create_topics(bootstrap_servers, {topics["control"]: 1, topics["status"]: 1}, **{"cleanup.policy": "compact"})
    want_all_bonds(bootstrap_servers, topics["control"])
    rate = str(ticks_per_second / per_frame)
    command = [
        sys.executable,
        "-m",
        "benchmarks.feed",
        "--ticks",
        str(ticks),
        "--per-frame",
        str(per_frame),
        "--frames-per-second",
        rate,
    ]
    feed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        urls = json.loads(feed.stdout.readline())  # type: ignore[union-attr]  # a pipe was asked for
        run = {**urls, "bootstrap_servers": bootstrap_servers, "topics": topics, "ticks": ticks}
        done = subprocess.run(
            [sys.executable, "-m", PIPELINES[pipeline], json.dumps(run)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=300,
        )
        if done.returncode:
            raise SystemExit(f"{pipeline} failed:\n{done.stderr[-3000:]}")
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])  # the figures come last
        return figures
    finally:
        feed.kill()
        feed.wait()


def want_all_bonds(bootstrap_servers: str, control: str) -> None:
    """Write one list with every bond of the feed."""
    from confluent_kafka import Producer  # noqa: PLC0415 - the other client writes what the connector reads

    from benchmarks.feed import BONDS  # noqa: PLC0415 - the other client writes what the connector reads

    producer = Producer({"bootstrap.servers": bootstrap_servers})
    producer.produce(control, json.dumps({"instruments": BONDS}), "bench")
    producer.flush(30)


def compare(console: Console, bootstrap_servers: str, title: str, pairs: int, **feed: Any) -> dict[str, Any]:
    """Run both pipelines in turn and return their median figures and the median ratios."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in PIPELINES}
    for number in range(pairs):
        for name in PIPELINES:
            console.print(f"{title}: {name}, run {number + 1} of {pairs} …", style="dim")
            runs[name].append(run_once(name, bootstrap_servers, **feed))
    medians = {
        name: {key: statistics.median(run[key] for run in of_name) for key in FIGURES} for name, of_name in runs.items()
    }
    ratios = [
        ours["ticks_per_second"] / theirs["ticks_per_second"] for ours, theirs in zip(*runs.values(), strict=True)
    ]
    return {
        "title": title,
        "pairs": pairs,
        "medians": medians,
        "ratio": round(statistics.median(ratios), 2),
        "runs": runs,
    }


def show(console: Console, results: list[dict[str, Any]]) -> None:
    """Print the medians as a table."""
    table = Table("feed", "pipeline", "ticks/s", "ratio", "CPU µs/tick", "p50 ms", "p99 ms", "peak MB", box=None)
    for result in results:
        for name, of_name in result["medians"].items():
            ratio = f"{result['ratio']} x" if name == "connector" else ""
            figures = [f"{of_name['ticks_per_second']:,.0f}", ratio, *(f"{of_name[key]:g}" for key in FIGURES[1:])]
            table.add_row(result["title"], name, *figures)
    console.print(table)


def main() -> None:
    """Measure and print; `--json` for programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=300_000, help="ticks of a run (default 300,000)")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each pipeline (default 3)")
    parser.add_argument("--json", action="store_true", help="print the figures of every run as JSON")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})
    console = Console(stderr=options.json)
    kafka = find_kafka()
    try:
        of_kafka = kafka.bootstrap_servers
        results = [
            compare(console, of_kafka, "1 tick a frame", options.pairs, ticks=options.ticks, per_frame=1),
            compare(console, of_kafka, "19 ticks a frame", options.pairs, ticks=options.ticks, per_frame=19),
            compare(
                console,
                of_kafka,
                "1,000 ticks/s, 1 a frame",
                options.pairs,
                ticks=10_000,
                per_frame=1,
                ticks_per_second=1000,
            ),
        ]
    finally:
        kafka.close()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if options.json:
        print(
            json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "results": results})
        )
    else:
        console.print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}")
        show(console, results)


if __name__ == "__main__":
    main()
