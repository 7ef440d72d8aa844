"""Runs an auditor in a process of its own, on topics of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.kafka.reader import create_topics

ROOT = Path(__file__).parents[1]
PARTITIONS = 6
JOIN_SECONDS = 60
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one auditor on one Kafka, by the names of their settings."""

    bootstrap_servers: str
    names: Mapping[str, str]

    @property
    def group(self) -> str:
        """The auditor's consumer group."""
        return f"{self.names['ticks']}-audit"

    def environment(self) -> dict[str, str]:
        """Return the environment of an auditor on these topics."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")}
        return kept | {
            "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KIS_BOND_AUDIT__GROUP_ID": self.group,
            "KIS_BOND_AUDIT__HTTP_PORT": "0",
            **{f"KIS_BOND_TOPICS__{part.upper()}": name for part, name in self.names.items()},
        }


def new_topics(bootstrap_servers: str, prefix: str) -> dict[str, str]:
    """Make topics that nobody has used yet; return their names by their settings."""
    parts = ("ticks", "dead_letters", "control", "status", "events", "coverage")
    names = {part: f"{prefix}-{time.time_ns()}-{part.replace('_', '-')}" for part in parts}
    create_topics(bootstrap_servers, {names["ticks"]: PARTITIONS, names["dead_letters"]: 1, names["events"]: 1})
    compacted = {names["control"]: 1, names["status"]: 1, names["coverage"]: PARTITIONS}
    create_topics(bootstrap_servers, compacted, cleanup_policy="compact")
    return names


def new_latest_topic(bootstrap_servers: str, ticks: str) -> str:
    """Make a topic of latest values beside this tick topic; return its name."""
    name = f"{ticks}-latest"
    create_topics(bootstrap_servers, {name: PARTITIONS}, cleanup_policy="compact")
    return name


@contextmanager
def auditor(topics: Topics) -> Iterator[subprocess.Popen[bytes]]:
    """Run an auditor, which shares its core with its parent; its log is shown if it fails."""
    command = [sys.executable, "-m", "tests.app.audit.auditor_process"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, env=topics.environment(), cwd=ROOT, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            if process.wait(60) != 0:
                raise SystemExit(f"the auditor failed:\n{_end_of(log)}")
        finally:
            process.kill()


def until_joined(topics: Topics, process: subprocess.Popen[bytes]) -> None:
    """Wait until the auditor is the one member of its group."""
    admin = AdminClient({"bootstrap.servers": topics.bootstrap_servers})
    deadline = time.monotonic() + JOIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(KafkaException):  # the group's coordinator has only just been chosen
            if admin.describe_consumer_groups([topics.group])[topics.group].result(20).state.name == "STABLE":
                return
        time.sleep(POLL_SECONDS)
    raise SystemExit("the auditor did not join its group")


def _end_of(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")[-3000:]
