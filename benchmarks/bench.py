"""Measures the connector beside two other pipelines, in turn on one Kafka."""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from benchmarks.cases import CASES, SOAK, Case
from benchmarks.figures import Figures, median_ratio, medians
from benchmarks.pipeline import Run
from benchmarks.report import HEADING, LEGEND, lines, row
from benchmarks.runs import run_once
from tests.kafka.launcher import MEASURED, KafkaCluster, find_kafka

MACHINE = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
ABOUT = f"""{__doc__}

The pipeline that runs has the first core to itself; the feed, the broker and
this program share the last one. Quote the ratios: they hold even if the
machine's speed changes.

Cases:
{chr(10).join(f"  {case.name:<12}{case.title}" for case in CASES.values())}
"""
EXAMPLES = """Examples:
  make bench
  make bench ARGS="--only single --pairs 1 --ticks 50000"
  make bench ARGS="--only drain --ticks 1800000"   ten minutes at 3,000/s
  make bench ARGS="--bonds 1000 --prices 30000"
  make bench ARGS="--soak 10000000"                memory over a long run
  make bench ARGS=--json > figures.jsonl
"""


def compare(kafka: KafkaCluster, case: Case, run: Run, pairs: int, progress: Console) -> dict[str, Any]:
    """Run the entries of a case in turn, and show each run's figures as soon as it has ended.

    Return medians, ratios and the figures of each run.
    """
    runs: list[list[dict[str, float | None]]] = [[] for _ in case.entries]
    for number in range(pairs):
        for entry, of_entry in zip(case.entries, runs, strict=True):
            with progress.status(f"{case.name}: {entry.label}, run {number + 1} of {pairs}"):
                figures = run_once(kafka, case, entry, run)
            of_entry.append(figures)
            progress.print(f"{case.name}, run {number + 1} of {pairs}:\n{row(entry.label, {'medians': figures})}")
    first = runs[0]
    return {
        "name": case.name,
        "title": case.title,
        "ticks": case.ticks(run.ticks),
        "entries": [
            {"label": entry.label, "medians": medians(of_entry), "runs": of_entry}
            | ({} if of_entry is first else ratios(case, first, of_entry))
            for entry, of_entry in zip(case.entries, runs, strict=True)
        ],
    }


def ratios(case: Case, first: Sequence[Figures], other: Sequence[Figures]) -> dict[str, float]:
    """Return how many times more ticks/s and less CPU a tick the first entry has."""
    of_cpu = {"cpu_ratio": round(median_ratio(other, first, "cpu_us_per_tick"), 2)}
    if case.ticks_per_second:
        return of_cpu
    return {"ratio": round(median_ratio(first, other, "ticks_per_second"), 2)} | of_cpu


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help="this case; may be repeated")
    parser.add_argument("--ticks", type=int, default=200_000, help="ticks of a run, if not paced (default 200,000)")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each pipeline (default 3)")
    parser.add_argument("--bonds", type=int, default=41, help="bonds, where a case does not say (default 41)")
    parser.add_argument("--prices", type=int, default=15_000, help="distinct prices of the day (default 15,000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same day (default 1)")
    parser.add_argument("--soak", type=int, metavar="N", help="see only that memory stays flat over N ticks, once")
    parser.add_argument(
        "--json", action="store_true", help="print the figures of every run, a line of JSON for each case"
    )
    chosen = parser.parse_args()
    if chosen.soak is not None:
        chosen.ticks, chosen.pairs = chosen.soak, 1
    for name in ("ticks", "pairs", "bonds", "prices"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return chosen


def main() -> None:
    """Measure and print."""
    chosen = options()
    first, *_, last = sorted(os.sched_getaffinity(0)) * 2  # the same core twice, if there is but one
    os.sched_setaffinity(0, {last})
    run = Run(ticks=chosen.ticks, bonds=chosen.bonds, prices=chosen.prices, core=first, seed=chosen.seed)
    cases = [CASES[name] for name in chosen.only or CASES] if chosen.soak is None else [SOAK]
    progress = Console(stderr=True)
    kafka = find_kafka(options=MEASURED)
    try:
        if not kafka.restartable and (left_out := [case for case in cases if case.outage]):
            cases = [case for case in cases if not case.outage]
            progress.print(f"Left out: {left_out[0].name}, because KAFKA_BOOTSTRAP_SERVERS is not ours to stop")
        if not chosen.json:
            print(f"{datetime.now(UTC):%Y-%m-%d}, {MACHINE}")
            print(
                f"{chosen.bonds:,} bonds, {chosen.prices:,} prices, {chosen.ticks:,} ticks, medians of {chosen.pairs}"
            )
            print(HEADING, flush=True)
        for case in cases:
            result = compare(kafka, case, run, chosen.pairs, progress)
            if chosen.json:
                at = datetime.now(UTC).isoformat(timespec="seconds")
                print(json.dumps({"at": at, "machine": MACHINE, "options": vars(chosen), **result}), flush=True)
            else:
                print("\n".join(lines(result)), flush=True)
    finally:
        kafka.close()
    if not chosen.json:
        print(f"\n{LEGEND}")


if __name__ == "__main__":
    main()
