"""Runs one pipeline on a feed and topics of its own, and returns its figures."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks.auditor import Topics, auditor, new_latest_topic, new_topics, until_joined
from benchmarks.cases import Case, Entry
from benchmarks.day import isins
from benchmarks.pipeline import FIGURES, REGISTERED, Run
from tests.kafka.launcher import KafkaCluster

ROOT = Path(__file__).parents[1]
RUN_SECONDS = 900  # a pipeline that takes longer has lost ticks; a second more for each SLOWEST ticks
SLOWEST = 5_000
SETTLE_SECONDS = 1.0  # between the last registration and the first tick


class Child:
    """A process that speaks lines: feed or pipeline."""

    def __init__(self, module: str, process: subprocess.Popen[str], errors: Any) -> None:
        self._module, self._process, self._errors = module, process, errors

    def tell(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def expect(self, beginning: str) -> str:
        """Return its next line that begins so. Ends the benchmark if there is none."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line
        self._errors.seek(0)
        raise SystemExit(f"{self._module} ended early, or ran for over {RUN_SECONDS} s:\n{self._errors.read()[-3000:]}")

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def started(module: str, run: Run) -> Iterator[Child]:
    """Give a running module of this package, which is killed at the end."""
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(asdict(run))]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT
        ) as process,
    ):
        watchdog = threading.Timer(RUN_SECONDS + run.ticks // SLOWEST, process.kill)
        watchdog.start()
        child = Child(module, process, errors)
        try:
            yield child
        finally:
            watchdog.cancel()
            child.kill()


def run_once(kafka: KafkaCluster, case: Case, entry: Entry, run: Run) -> dict[str, float | None]:
    """Run one entry of a case; `run` has what the command line says."""
    run = replace(
        run,
        ticks=case.ticks(run.ticks),
        per_frame=case.per_frame,
        ticks_per_second=case.ticks_per_second,
        outage=case.outage,
        bonds=entry.bonds or run.bonds,
        sessions=entry.sessions,
        bootstrap_servers=kafka.bootstrap_servers,
        topics=new_topics(kafka.bootstrap_servers, "bench"),
    )
    if entry.latest:
        run = replace(run, topics=run.topics | {"latest": new_latest_topic(run.bootstrap_servers, run.topics["ticks"])})
    _want_all_bonds(run)
    with started("feed", run) as feed, audited(run) if entry.audited else nullcontext():
        run = replace(run, **json.loads(feed.expect("{")))
        with started(entry.pipeline, run) as pipeline:
            pipeline.expect(REGISTERED)
            feed.expect("prepared")
            time.sleep(SETTLE_SECONDS)
            if run.outage:
                kafka.stop()
            pipeline.tell()
            pipeline.expect("started")
            feed.tell()
            if run.outage:
                pipeline.expect("journalled")
                feed.kill()
                kafka.start()
            figures: dict[str, float | None] = json.loads(pipeline.expect(FIGURES).removeprefix(FIGURES))
            return figures


@contextmanager
def audited(run: Run) -> Iterator[None]:
    """Let an auditor read the run's ticks."""
    topics = Topics(run.bootstrap_servers, run.topics)
    with auditor(topics) as process:
        until_joined(topics, process)
        yield


def _want_all_bonds(run: Run) -> None:
    """Write one list with every bond of the feed."""
    producer = Producer({"bootstrap.servers": run.bootstrap_servers})
    producer.produce(run.topics["control"], json.dumps({"instruments": isins(run.bonds)}), "bench")
    if producer.flush(30):
        raise SystemExit("Kafka did not take the list of bonds within 30 s")
