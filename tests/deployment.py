"""A connector as deployed: a process and topics of its own, the simulator, a real Kafka."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
from confluent_kafka import Producer

from connector.core.ticks.avro import TickSchema, decode
from connector.packaged_files import bond_tick
from simulator import Simulator
from tests.kafka.process import free_ports
from tests.kafka.reader import Record, create_topics, read_all

ROOT = Path(__file__).parents[1]
SCHEMA = TickSchema(bond_tick())
SECONDS = 60


class Deployment:
    """Starts, kills and asks one connector; `kis` is its exchange, `names` are its topics."""

    def __init__(self, kis: Simulator, bootstrap_servers: str, names: Any, folder: Path) -> None:
        self.kis = kis
        self.bootstrap_servers = bootstrap_servers
        self.names = names
        self.folder = folder
        self.program = ROOT  # the folder whose connector runs
        self.log = folder / "connector.log"
        self.journal = folder / "data" / "journal"
        (self.port,) = free_ports(1)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")},
            "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers,
            "KIS_BOND_KIS__APPROVAL_URL": kis.approval_url,
            "KIS_BOND_KIS__WEBSOCKET_URL": kis.websocket_url,
            "KIS_BOND_KIS__APPKEY": "test-appkey-0-0123456789012345678901",
            "KIS_BOND_KIS__APPSECRET": "test-appsecret-0",
            "KIS_BOND_KIS__REGISTER_INTERVAL_SECONDS": "0.02",
            "KIS_BOND_JOURNAL__PATH": str(self.journal),
            "KIS_BOND_HTTP__PORT": str(self.port),
            "KIS_BOND_REPLICAS__NAME": "test",
            **{f"KIS_BOND_TOPICS__{part.upper()}": getattr(names, part) for part in names.__slots__},
        }
        self.process: asyncio.subprocess.Process | None = None

    def use_app_keys(self, count: int) -> None:
        """Give the connector a folder with so many app keys instead of one pair."""
        folder = self.folder / "credentials"
        folder.mkdir()
        for slot in range(count):
            (folder / f"appkey-{slot}").write_text(f"test-appkey-{slot}\n")
            (folder / f"appsecret-{slot}").write_text(f"test-appsecret-{slot}\n")
        del self.environment["KIS_BOND_KIS__APPKEY"], self.environment["KIS_BOND_KIS__APPSECRET"]
        self.environment["KIS_BOND_KIS__CREDENTIALS_DIR"] = str(folder)

    def create_topics(self) -> None:
        """Create all topics as `topics init` does, without its segment settings."""
        names = self.names
        create_topics(self.bootstrap_servers, {names.ticks: 6, names.dead_letters: 1, names.events: 6})
        create_topics(self.bootstrap_servers, {names.coverage: 6}, **{"cleanup.policy": "compact,delete"})
        create_topics(self.bootstrap_servers, {names.control: 1, names.status: 1}, **{"cleanup.policy": "compact"})

    async def start(self, *wrapper: str, stdout: int | None = None) -> None:
        """Start the connector, under another command if given; its log is continued."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *wrapper,
                *(sys.executable, "-m", "connector", "run"),
                env=self.environment,
                cwd=self.program,
                stdout=log if stdout is None else stdout,
                stderr=log,
            )

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)

    def write(self, key: str, value: Any, topic: str | None = None) -> None:
        """Write a record of the control topic, or of `topic`, with another client.

        None is a tombstone, and bytes are raw.
        """
        self.write_all([(key, value)], topic)

    def write_all(self, records: Iterable[tuple[str, Any]], topic: str | None = None) -> None:
        """Write records as `write` does, in their order."""
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        for key, value in records:
            raw = value if value is None or isinstance(value, bytes) else json.dumps(value)
            producer.produce(topic or self.names.control, raw, key)
        assert producer.flush(SECONDS) == 0

    async def ask(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of an endpoint; 0 and nothing while it does not listen.

        While a connector waits for its journal, its `/status` has no figures: that is nothing, too.
        """
        try:
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                content = await answer.json()
        except aiohttp.ClientError:
            return 0, {}
        return (0, {}) if path == "/status" and "frames" not in content else (answer.status, content)

    async def text(self, path: str) -> str:
        """Return the body of an endpoint; empty while it does not listen."""
        try:
            async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                return await answer.text()
        except aiohttp.ClientError:
            return ""

    async def until_ready(self) -> None:
        """Wait until /readyz says 200."""
        await self.until(self._is_ready)

    async def _is_ready(self) -> bool:
        return (await self.ask("/readyz"))[0] == 200

    async def until_state(self, state: str, isins: Iterable[str], seconds: float = SECONDS) -> None:
        """Wait until `/status` shows each of these bonds in this state."""
        wanted = set(isins)

        async def reached() -> bool:
            _, status = await self.ask("/status")
            instruments = status.get("instruments", {})
            return {isin for isin in wanted if instruments.get(isin, {}).get("state") == state} == wanted

        await self.until(reached, seconds)

    async def until_delivered(self, seconds: float = SECONDS) -> None:
        """Wait until every frame of the exchange is received and finished."""

        async def delivered() -> bool:
            _, status = await self.ask("/status")
            frames = status.get("frames", {})
            return bool(frames) and frames["received"] >= self.kis.stats.frames and frames["pending"] == 0

        await self.until(delivered, seconds)

    async def is_settled(self) -> bool:
        """Return whether nothing is pending, twice in a row with a pause between."""
        counts = []
        for _ in range(2):
            _, status = await self.ask("/status")
            if not status or status["frames"]["pending"]:
                return False
            counts.append(status["frames"]["received"])
            await asyncio.sleep(0.3)
        return counts[0] == counts[1]

    async def until(self, condition: Callable[[], Any], seconds: float = SECONDS) -> None:
        """Wait for a condition with a deadline; if it is not met, the error has the log's end."""
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {seconds} s; the log ends:\n{self.log.read_text()[-3000:]}")
            await asyncio.sleep(0.05)

    async def records(self, topic: str) -> list[Record]:
        """Read a topic with the other client."""
        return await asyncio.to_thread(read_all, self.bootstrap_servers, topic)

    async def ticks(self) -> list[dict[str, Any]]:
        """Read and decode the tick topic."""
        return [decode(record.value or b"", SCHEMA) for record in await self.records(self.names.ticks)]

    async def events(self) -> list[dict[str, Any]]:
        """Read the event topic in the order of the events' times."""
        found = [json.loads(record.value or b"null") for record in await self.records(self.names.events)]
        return sorted(found, key=lambda event: str(event["at"]))

    async def latest(self, topic: str) -> dict[str, Any]:
        """Return the latest JSON value of each key without a tombstone."""
        found: dict[str, Any] = {}
        for record in await self.records(topic):
            found[(record.key or b"").decode()] = record.value and json.loads(record.value)
        return {key: value for key, value in found.items() if value is not None}
