"""What a real auditor writes of seeded days into a real Kafka equals what happened on them."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.kafka.reader import create_topics
from tests.truth.kafka_days import PARTITIONS, KafkaDay, Topics
from tests.truth.world import DAY_BEFORE, HOUR, TODAY, midnight

ROOT = Path(__file__).parents[2]
DAYS = 50
# The auditor is killed at each of these times, and started again with all that came meanwhile.
KILLED_AT = (
    midnight(DAY_BEFORE) + 23 * HOUR,
    midnight(TODAY) + 11 * HOUR + HOUR // 2,
    midnight(TODAY) + 14 * HOUR,
)
EVENING = midnight(TODAY) + 22 * HOUR  # after the last of the late ticks
PATIENCE_SECONDS = 120  # a member that was killed leaves its group after ten seconds

pytestmark = pytest.mark.timeout(600)


async def start(topics, at_ms, log):
    """Start an auditor whose clock shows a time."""
    names = topics.names
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")},
        "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": topics.bootstrap_servers,
        # Longer than it takes to read what is in the topic, so that no hole is judged before.
        "KIS_BOND_AUDIT__GAP_WAIT_SECONDS": "4",
        "KIS_BOND_AUDIT__GROUP_ID": f"{names.ticks}-audit",
        "KIS_BOND_AUDIT__HTTP_PORT": "0",
        **{f"KIS_BOND_TOPICS__{part.upper()}": getattr(names, part) for part in names.__slots__},
    }
    command = (sys.executable, "-m", "tests.truth.auditor_process", str(at_ms))
    return await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT, stdout=log, stderr=log)


async def until_right(topics, days, at_ms, process):
    """Wait until the auditor's records and events say of all days what happened up to a time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        records, events = await asyncio.to_thread(lambda: (topics.records(at_ms), topics.events()))
        wrong = [each for day in days for each in day.wrong(records, events, at_ms, is_over=at_ms == EVENING)]
        if not wrong:
            return
        assert process.returncode is None, "the auditor ended"
        assert time.monotonic() < deadline, wrong[:20]
        await asyncio.sleep(1)


async def test_reports_through_kafka_equal_what_happened(kafka, topic_names, tmp_path):
    """Killed three times on the way, it reports each hole exactly, and nothing else."""
    names = topic_names
    create_topics(kafka.bootstrap_servers, {names.ticks: PARTITIONS, names.dead_letters: 1, names.events: 1})
    create_topics(kafka.bootstrap_servers, {names.coverage: PARTITIONS, names.status: 1}, cleanup_policy="compact")
    topics, days = Topics(kafka.bootstrap_servers, names), [KafkaDay(seed) for seed in range(DAYS)]
    with (tmp_path / "auditor.log").open("ab") as log:
        for at_ms in (*KILLED_AT, EVENING):
            for day in days:
                day.write(topics, at_ms)
            topics.flush()
            process = await start(topics, at_ms, log)
            try:
                await until_right(topics, days, at_ms, process)
            finally:
                process.send_signal(signal.SIGTERM if at_ms == EVENING else signal.SIGKILL)
                code = await process.wait()
    assert code == 0, (tmp_path / "auditor.log").read_text()[-3000:]
    assert not any(day.arrivals or day.told for day in days)
    holes = sum(len(one.holes) for day in days for one in day.oracle.days.values())
    assert holes > DAYS
