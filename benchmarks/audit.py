"""Measures what it costs to audit a day from the start of the tick topic: `make audit-cost`."""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.console import Console

from benchmarks import day
from benchmarks.auditor import PARTITIONS, POLL_SECONDS, Topics, auditor, new_topics
from connector.core.ticks.avro import Tick, TickEncoder, TickSchema
from connector.core.ticks.frame import WireRecord
from connector.core.ticks.partition import partition
from connector.packaged_files import bond_tick
from tests.kafka.launcher import MEASURED, find_kafka
from tests.kafka.reader import read_all

LEFT_OUT, REPEATED = 1 / 10_000, 1 / 1_000  # of the ticks
EVENNESS = 20  # the bond that trades most has about one tick in eighty
MOST_SECONDS, MOST_MB = 300, 300
DEADLINE_SECONDS = 1_800

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
    kafka = find_kafka(options=MEASURED)
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
