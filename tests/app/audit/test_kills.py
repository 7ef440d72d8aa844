"""An auditor that is killed again and again, on a real Kafka."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from random import Random

import aiohttp
from confluent_kafka import Producer

from connector.core.ticks.avro import TickEncoder, TickSchema
from connector.core.ticks.frame import WireRecord
from connector.core.ticks.partition import partition
from connector.packaged_files import bond_tick
from simulator.market import Market
from tests.app.audit.world import union
from tests.kafka.process import free_ports
from tests.kafka.reader import create_topics, read_all

ROOT = Path(__file__).parents[3]
# 50 with `make audit-kill-full`; each takes some twelve seconds, the session timeout of the group.
KILLS = int(os.environ.get("KIS_BOND_AUDITOR_KILLS", "4"))
SEED = int(os.environ.get("KIS_BOND_SEED", "20260911"))
ISINS = [f"KR10350{number:05d}" for number in range(12)]
PARTITIONS = 3


class TickTopic:
    """Ticks of a market, written without a connector; some are left out."""

    def __init__(self, bootstrap_servers, topic, random):
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0, "linger.ms": 1})
        self._topic, self._random = topic, random
        self._market = Market(SEED)
        schema = TickSchema(bond_tick())
        self._encoder = TickEncoder(schema, schema.single_object_prefix)
        self.left_out = {isin: [] for isin in ISINS}
        self.top = dict.fromkeys(ISINS, 0)

    def write(self, count, *, complete=False):
        """Write trades of each bond, and leave out one in ten unless they are to be complete."""
        for _ in range(count):
            for isin in ISINS:
                raw = self._market.tick(isin, time.time())
                columns = raw.split("^")
                high, volume = int(columns[16]), int(columns[7])
                if not complete and self._random.random() < 0.1:
                    self.left_out[isin].append((high - volume, high))
                    continue
                self.top[isin] = high
                tick = self._encoder.encode(WireRecord(columns, raw), self._encoder.origin(time.time_ns() // 1_000_000))
                number = partition(isin.encode(), PARTITIONS)
                self._producer.produce(
                    self._topic, tick.value, isin, number, headers=[("slot", b"0"), ("received-ns", b"1")]
                )
        assert self._producer.flush(30) == 0


class AuditorProcess:
    """One auditor after another; `port` is the HTTP port of each."""

    def __init__(self, bootstrap_servers, names, folder):
        (self.port,) = free_ports(1)
        self._log = folder / "auditor.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")},
            "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "KIS_BOND_AUDIT__GAP_WAIT_SECONDS": "0.3",
            "KIS_BOND_AUDIT__GROUP_ID": f"{names.ticks}-audit",
            "KIS_BOND_AUDIT__HTTP_PORT": str(self.port),
            **{f"KIS_BOND_TOPICS__{part.upper()}": getattr(names, part) for part in names.__slots__},
        }
        self.process = None

    async def start(self):
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.app.audit.auditor_process"),
                env=self._environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    async def end(self, number):
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def status(self):
        try:
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{self.port}/status") as answer:
                return await answer.json()
        except aiohttp.ClientError:
            return {}

    async def until(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition(status := await self.status()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds} s: {str(status)[:2000]}\n{self._log.read_text()[-3000:]}")
            await asyncio.sleep(0.1)


def holds_all(status):
    """Return whether the auditor holds all partitions and has read them to their ends."""
    return len(status.get("audit", {}).get("partitions", [])) == PARTITIONS and status["audit"]["lag"] == 0


def announced(kafka, names):
    """Return the bond of each hole that an event tells of, by the hole's id."""
    events = [json.loads(record.value) for record in read_all(kafka.bootstrap_servers, names.events)]
    assert {event["event"] for event in events} <= {"gap"}
    return {event["detail"]["id"]: event["instrument"] for event in events}


async def test_no_hole_is_lost_and_none_invented(kafka, topic_names, tmp_path):
    """However often it is killed, its holes are those of the exchange, each with its event."""
    names, random = topic_names, Random(SEED)
    create_topics(kafka.bootstrap_servers, {names.ticks: PARTITIONS, names.dead_letters: 1, names.events: 2})
    create_topics(kafka.bootstrap_servers, {names.coverage: PARTITIONS, names.status: 1}, cleanup_policy="compact")
    topic = TickTopic(kafka.bootstrap_servers, names.ticks, random)
    auditor = AuditorProcess(kafka.bootstrap_servers, names, tmp_path)
    for _ in range(KILLS):
        await auditor.start()
        topic.write(5)
        await auditor.until(lambda status: status.get("audit", {}).get("partitions"))
        ends = time.monotonic() + random.uniform(0, 3)
        while time.monotonic() < ends:
            topic.write(2)
            await asyncio.sleep(0.05)
        await auditor.end(signal.SIGKILL)
    topic.write(1, complete=True)
    await auditor.start()
    expected = {isin: union(topic.left_out[isin]) for isin in ISINS}

    try:
        await auditor.until(holds_all)
        async with asyncio.timeout(60):
            while len(await asyncio.to_thread(announced, kafka, names)) < sum(map(len, expected.values())):
                await asyncio.sleep(0.1)
    finally:
        assert await auditor.end(signal.SIGTERM) == 0
    latest = {}
    for record in await asyncio.to_thread(read_all, kafka.bootstrap_servers, names.coverage):
        latest[record.key.decode().partition("/")[0]] = json.loads(record.value)
        assert record.partition == partition(record.key.partition(b"/")[0], PARTITIONS)
    ids = {}
    for isin in ISINS:
        holes = latest[isin]["holes"]
        assert [(hole["from_volume"], hole["to_volume"]) for hole in holes] == expected[isin]
        assert latest[isin]["accumulated_volume"] == topic.top[isin]
        assert latest[isin]["repeats"] == 0
        ids |= {hole["id"]: isin for hole in holes}
    assert await asyncio.to_thread(announced, kafka, names) == ids
