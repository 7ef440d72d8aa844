"""Measures what it costs to audit a day from the start of the tick topic: `make audit-cost`."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import IO

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.console import Console

from benchmarks import day
from connector.core.ticks.avro import Tick, TickEncoder, TickSchema
from connector.core.ticks.frame import WireRecord
from connector.core.ticks.partition import partition
from connector.packaged_files import bond_tick
from tests.kafka.launcher import find_kafka
from tests.kafka.reader import create_topics, read_all

ROOT = Path(__file__).parents[1]
PARTITIONS = 6
LEFT_OUT, REPEATED = 1 / 10_000, 1 / 1_000  # of the ticks
EVENNESS = 20  # the bond that trades most has about one tick in eighty
MOST_SECONDS, MOST_MB = 300, 300
DEADLINE_SECONDS = 1_800
JOIN_SECONDS = 60
POLL_SECONDS = 0.5

progress = Console(stderr=True)


@dataclass(slots=True)
class Sent:
    """What the topic holds of one bond, counted apart from the auditor."""

    ticks: int = 0
    repeats: int = 0
    covered: int = 0
    top: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What the auditor's process used until its last commit, and its peak of resident memory."""

    seconds: float
    cpu_seconds: float
    peak_mb: int


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


def fill(topics: Topics, count: int, bonds: int, seed: int) -> dict[str, Sent]:
    """Write a day's ticks as the connector writes them; some are left out, some come twice."""
    producer = Producer({"bootstrap.servers": topics.bootstrap_servers, "compression.type": "zstd", "linger.ms": 20})
    chance, schema = Random(seed), TickSchema(bond_tick())
    encoder = TickEncoder(schema, schema.single_object_prefix)
    name, sent = topics.names["ticks"], {isin: Sent() for isin in day.isins(bonds)}
    places = {isin: partition(isin.encode(), PARTITIONS) for isin in sent}
    midnight = datetime.now(UTC) + timedelta(hours=9)
    start_ms = (
        int((midnight.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(hours=9)).timestamp()) * 1000
    )
    per_second = -(-count // day.TRADING_SECONDS)
    for isin, text in day.ticks(count, bonds, 15_000, seed, day.Spread(per_second, EVENNESS)):
        columns = text.split("^")
        hour, of_bond = columns[2], sent[isin]
        received_ms = start_ms + (int(hour[:2]) * 3600 + int(hour[2:4]) * 60 + int(hour[4:])) * 1000
        draw = chance.random()
        of_bond.top = int(columns[16]) if draw >= LEFT_OUT else of_bond.top
        if draw < LEFT_OUT:
            continue
        of_bond.covered += int(columns[7])
        tick = encoder.encode(WireRecord(columns, text), encoder.origin(received_ms))
        assert isinstance(tick, Tick)
        copies = 2 if draw > 1 - REPEATED else 1
        of_bond.ticks, of_bond.repeats = of_bond.ticks + copies, of_bond.repeats + copies - 1
        headers = [("slot", b"%d" % (places[isin] % 25)), ("received-ns", b"%d" % (received_ms * 1_000_000))]
        for _ in range(copies):
            _patiently(producer, partial(producer.produce, name, tick.value, isin, places[isin], headers=headers))
    if producer.flush(60):
        raise SystemExit("Kafka did not take all ticks within 60 s")
    return sent


def _patiently(producer: Producer, produce: Callable[[], None]) -> None:
    while True:
        try:
            produce()
        except BufferError:
            producer.poll(0.1)
        else:
            return


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


def until_committed(topics: Topics, process: subprocess.Popen[bytes]) -> Cost:
    """Wait until the auditor has committed the ends of all partitions; return what that cost."""
    began, ends = time.monotonic(), _ends(topics)
    admin = AdminClient({"bootstrap.servers": topics.bootstrap_servers})
    while _committed(admin, topics) != ends:
        if process.poll() is not None or time.monotonic() - began > DEADLINE_SECONDS:
            raise SystemExit("the auditor ended early, or did not read the topic in time")
        time.sleep(POLL_SECONDS)
    return Cost(time.monotonic() - began, _cpu_seconds(process.pid), _peak_mb(process.pid))


def _ends(topics: Topics) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": topics.bootstrap_servers, "group.id": "unused"})
    try:
        places = [TopicPartition(topics.names["ticks"], number) for number in range(PARTITIONS)]
        return {place.partition: consumer.get_watermark_offsets(place, timeout=20)[1] for place in places}
    finally:
        consumer.close()


def _committed(admin: AdminClient, topics: Topics) -> dict[int, int]:
    asked = [ConsumerGroupTopicPartitions(topics.group)]
    (answer,) = admin.list_consumer_group_offsets(asked).values()
    try:
        return {place.partition: place.offset for place in answer.result(20).topic_partitions}
    except KafkaException:  # the group's coordinator has only just been chosen
        return {}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def wrong(topics: Topics, sent: dict[str, Sent]) -> list[str]:
    """Return the bonds whose record is not what was sent."""
    found = {}
    for record in read_all(topics.bootstrap_servers, topics.names["coverage"], seconds=120):
        found[(record.key or b"").decode().partition("/")[0]] = json.loads(record.value or b"{}")
    names = ("ticks", "repeats", "covered_volume", "accumulated_volume")
    expected = {isin: (one.ticks, one.repeats, one.covered, one.top) for isin, one in sent.items() if one.ticks}
    reported = {isin: tuple(value[name] for name in names) for isin, value in found.items()}
    return [isin for isin in expected | reported if expected.get(isin) != reported.get(isin)]


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--ticks", type=int, default=5_000_000, help="of the day (default 5,000,000)")
    parser.add_argument("--bonds", type=int, default=1_000, help="that trade on it (default 1,000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same day (default 1)")
    return parser.parse_args()


def main() -> None:
    """Write the day, audit it, and end with 1 if that costs too much or is wrong."""
    chosen = options()
    first, *_, last = sorted(os.sched_getaffinity(0)) * 2
    os.sched_setaffinity(0, {last})
    kafka = find_kafka()
    try:
        topics = Topics(kafka.bootstrap_servers, new_topics(kafka.bootstrap_servers, "audit-cost"))
        with progress.status(f"writing {chosen.ticks:,} ticks"):
            sent = fill(topics, chosen.ticks, chosen.bonds, chosen.seed)
        with progress.status("auditing them"), auditor(topics) as process:
            os.sched_setaffinity(process.pid, {first})
            cost = until_committed(topics, process)
        bad = wrong(topics, sent)
    finally:
        kafka.close()
    print(
        f"{chosen.ticks:,} ticks over {chosen.bonds:,} bonds, seed {chosen.seed}: {cost.seconds:.0f} s, "
        f"{cost.cpu_seconds:.0f} s of CPU ({cost.cpu_seconds / chosen.ticks * 1e6:.1f} µs a tick), "
        f"{cost.peak_mb} MB at most; {len(bad)} records wrong{': ' if bad else ''}{', '.join(bad[:5])}"
    )
    if bad or cost.cpu_seconds > MOST_SECONDS or cost.peak_mb > MOST_MB:
        raise SystemExit(f"The bounds are {MOST_SECONDS} s of CPU, {MOST_MB} MB and no wrong record")


if __name__ == "__main__":
    main()
