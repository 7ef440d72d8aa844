"""One run: exchange, connector, cluster with proxies, a watch, and the ledger at the end."""

import asyncio
import contextlib
import itertools
import json
import shutil
import signal
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from prometheus_client.parser import text_string_to_metric_families

from connector.core.bonds.isin import with_check_digit
from connector.core.ticks.avro import decode
from connector.core.ticks.partition import partition
from simulator import Simulator
from tests.conftest import TopicNames
from tests.deployment import Deployment
from tests.faults.audited import audited
from tests.faults.cluster import ProxiedKafka, RigTrouble, rig_part
from tests.faults.ledger import LEAST_TICKS, SCHEMA, Ledger, balance
from tests.faults.results import AUDITED
from tests.faults.row import Check, at_least, at_most, equal
from tests.faults.watch import Watch
from tests.kafka.reader import Record, read_all

PARTITIONS = 6
DELIVERED_SECONDS = 900


def bonds(count: int = PARTITIONS) -> list[str]:
    """Return bonds whose ticks go to all partitions in turn."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        isin = with_check_digit(f"KR10350{number:04d}")
        if partition(isin.encode(), PARTITIONS) == len(found) % PARTITIONS:
            found.append(isin)
        number += 1
    return found


class Run:
    """One connector under load; `ledger` exists once the block of `Rig.run` has ended."""

    def __init__(
        self, cluster: ProxiedKafka, kis: Simulator, connector: Deployment, rate: float, isins: list[str]
    ) -> None:
        self.cluster = cluster
        self.kis = kis
        self.connector = connector
        self.rate = rate
        self.isins = isins
        self.watch = Watch(connector)
        self.ledger: Ledger
        self.events: list[dict[str, Any]] = []  # in the order of their times
        self.told: list[dict[str, Any]] = []  # the same, in the order in which they were written
        self.ticks: list[Record] = []
        self.earlier: list[Record] = []  # ticks that were read before the row deleted them
        self.dates: Counter[str] = Counter()
        self.late = 0
        self.connects_expected = 1
        self._ticks: Counter[str] = Counter()
        self._counted = 0

    def market(self, rate: float | None = None) -> None:
        """Make the market trade at the run's rate or another one; 0 closes it."""
        self.kis.rate = self.rate if rate is None else rate
        self.watch.market(self.kis.rate)

    async def passed(self, seconds: float) -> None:
        """Let the market trade for this long: the duration of the fault."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait for a condition; AssertionError with the log's end if it does not come in time."""

        async def holds() -> bool:
            return bool(condition())

        await self.connector.until(holds, seconds)

    def least_ticks(self) -> int:
        """Return the number of ticks sent of the bond with the fewest."""
        sent = self.kis.sent
        for frame in itertools.islice(sent, self._counted, None):
            if frame.kind not in {"withheld", "unheard"}:
                self._ticks.update(record.tr_key for record in frame.records)
        self._counted = len(sent)
        return min(self._ticks[isin] for isin in self.isins)

    def leader(self, number: int) -> int:
        """Return the index in `cluster.brokers` of a tick partition's leader."""
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - rows ask for it, a worker's start does not

        admin = AdminClient({"bootstrap.servers": self.cluster.direct_servers, "log_level": 0})
        found = admin.list_topics(self.connector.names.ticks, timeout=10).topics[self.connector.names.ticks]
        return int(found.partitions[number].leader) - 1

    async def until_without(self, place: int, seconds: float = 60) -> float:
        """Wait until no tick partition has this broker as leader or in sync.

        Return how long that took the cluster.
        """
        return float(await asyncio.to_thread(self._wait_without, place, seconds))

    def _wait_without(self, place: int, seconds: float) -> float:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as above

        others = ",".join(
            server for number, server in enumerate(self.cluster.direct_servers.split(",")) if number != place
        )
        topic, started_at = self.connector.names.ticks, time.monotonic()
        while (passed := time.monotonic() - started_at) < seconds:
            # A new client asks another broker; a known one might wait for the absent broker.
            with contextlib.suppress(KafkaException):
                found = (
                    AdminClient({"bootstrap.servers": others, "log_level": 0})
                    .list_topics(topic, timeout=2)
                    .topics[topic]
                )
                if all(place + 1 not in (one.leader, *one.isrs) for one in found.partitions.values()):
                    return passed
            time.sleep(0.1)
        raise RigTrouble(f"broker {place + 1} still counts after {seconds} s")

    def checks(
        self,
        *,
        lost: int = 0,
        missed: int | None = 0,
        connects: int | None = None,
        split_bonds: int = 0,
        unreadable: int = 0,
    ) -> list[Check]:
        """Return the checks of every row; `missed` is None if the fault makes frames be missed.

        `unreadable` frames ended as dead letters.
        """
        ledger = self.ledger
        found = [
            at_least("ticks of each bond", ledger.least_ticks, LEAST_TICKS),
            equal("L", ledger.lost, lost),
            equal("R", ledger.inversions, 0),
            equal("bonds with ticks in several partitions", ledger.split_bonds, split_bonds),
            equal("unknown ticks", ledger.unknown, 0),
            equal("law broken", len(ledger.watched.law_broken), 0),
            equal("acknowledged and not read back", ledger.not_read_back, 0),
            equal("exchange held up, s", ledger.stall_seconds, 0),
            at_most("connects", ledger.connects, self.connects_expected if connects is None else connects),
            equal("exit code", ledger.exit_code, 0),
        ]
        if missed is not None:
            found.append(equal("M", ledger.missed, missed))
        if ledger.watched.processes == 1:
            found.append(equal("received, kept and not decoded", ledger.not_decoded, unreadable))
        return found

    async def audit_checks(self, *causes: str) -> list[Check]:
        """Return the checks of a row that loses ticks before the journal.

        Of what the exchange had written, the auditor misses what the ledger misses. Its holes have
        exactly the volume that the exchange's log says was not delivered, and each has one of the
        causes.
        """
        found = await asyncio.to_thread(audited, self.kis.sent, self.ticks, self.told)
        told = ", ".join(f"{cause} {count}" for cause, count in sorted(found.causes.items()))
        figure = f"{found.missed:,}" + (f" (holes: {told})" if told else "")
        is_right = found.missed == self.ledger.missed and found.causes.keys() <= set(causes)
        return [
            Check(AUDITED, figure, is_right),
            equal("missing volume, by the auditor", found.volume, found.volume_kept_back),
        ]


class Rig:
    """All that a row is played on; `full`: faults have the full length of the matrix.

    `ledgers` are those of the runs that reached their end.
    """

    def __init__(self, cluster: ProxiedKafka, seed: int, *, full: bool) -> None:
        self.cluster = cluster
        self.seed = seed
        self.full = full
        self.ledgers: list[Ledger] = []

    def on(self, cluster: ProxiedKafka) -> "Rig":
        """Return the same rig on another cluster."""
        other = Rig(cluster, self.seed, full=self.full)
        other.ledgers = self.ledgers
        return other

    @staticmethod
    async def off_loop(act: Callable[[], Any]) -> Any:
        """Run a blocking function, such as a broker's stop, in another thread."""
        return await asyncio.to_thread(act)

    @contextlib.asynccontextmanager
    async def run(
        self,
        *,
        rate: float = 600,
        isins: list[str] | None = None,
        settings: Mapping[str, str] | None = None,
        exchange: Mapping[str, Any] | None = None,
        create_topics: Callable[[Deployment], None] = Deployment.create_topics,
        prepare: Callable[["Run"], None] = lambda _: None,
        active: int | None = None,
        least_ticks: int = LEAST_TICKS,
    ) -> AsyncIterator[Run]:
        """Begin a run with all bonds active and the market open.

        At the end of the block it is healed, catches up, stops, and is read back. `settings` go
        to the connector's environment (`KAFKA__COMPRESSION`), `exchange` to the simulator;
        `prepare` gets the run before the connector starts. `active`: the number of bonds that
        become active, if not all; the run counts only those.
        """
        folder = Path(tempfile.mkdtemp(prefix="kis-bond-fault-"))
        names = TopicNames(
            **{name: f"f{uuid.uuid4().hex[:8]}.{name.replace('_', '-')}" for name in TopicNames.__slots__}
        )
        async with Simulator(seed=self.seed, **(exchange or {})) as kis:
            connector = Deployment(kis, self.cluster.direct_servers, names, folder)
            connector.environment["KIS_BOND_KAFKA__BOOTSTRAP_SERVERS"] = self.cluster.bootstrap_servers
            connector.environment |= {f"KIS_BOND_{name}": value for name, value in (settings or {}).items()}
            with rig_part("the topics were not created"):
                await asyncio.to_thread(create_topics, connector)
            run = Run(self.cluster, kis, connector, rate, isins or bonds())
            prepare(run)
            watching = asyncio.create_task(run.watch.run())
            try:
                await asyncio.to_thread(connector.write, "desk", {"instruments": run.isins})
                await connector.start()
                if active is not None:
                    await run.until(lambda: sum(len(session.tr_keys) for session in kis.sessions) == active, 60)
                    run.isins = [isin for session in kis.sessions for isin in session.tr_keys]
                await connector.until_state("ACTIVE", run.isins, 60)
                run.market()
                yield run
                await self._finish(run, watching, least_ticks)
            except BaseException:
                watching.cancel()
                with contextlib.suppress(RigTrouble):  # the error that broke the run is the one to report
                    await self.cluster.heal()
                raise
            finally:
                if connector.process and connector.process.returncode is None:
                    await connector.end(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)

    async def _finish(self, run: Run, watching: asyncio.Task[None], least_ticks: int) -> None:
        await self.cluster.heal()
        run.watch.healed()
        connector = run.connector
        await run.until(lambda: run.least_ticks() >= least_ticks, 300)
        run.market(0)
        await connector.until(connector.is_settled, DELIVERED_SECONDS)
        _, status = await connector.ask("/status")
        run.late = late(await connector.text("/metrics"))
        watching.cancel()
        exit_code = await connector.end()
        servers = self.cluster.direct_servers
        topics = (connector.names.ticks, connector.names.dead_letters)
        with rig_part("the topics could not be read back"):
            ticks, letters, events = await asyncio.gather(
                *(asyncio.to_thread(read_all, servers, topic, seconds=600) for topic in topics),
                connector.records(connector.names.events),
            )
        ticks = run.earlier + ticks
        run.told = [json.loads(record.value or b"null") for record in events]
        run.events, run.ticks = sorted(run.told, key=lambda event: str(event["at"])), ticks
        run.dates = Counter(str(decode(record.value or b"", SCHEMA)["trade_date"]) for record in ticks)
        run.ledger = await asyncio.to_thread(
            balance,
            run.kis.sent,
            ticks,
            letters,
            status,
            run.watch.figures(),
            connects=len(run.kis.connects),
            stall_seconds=round(run.kis.stats.max_stall_seconds, 2),
            exit_code=exit_code,
        )
        self.ledgers.append(run.ledger)


def late(metrics: str) -> int:
    """Return how many ticks of the last process took over 2.5 s from receipt to acknowledgement."""
    name = "kis_bond_receive_to_ack_seconds"
    found = {
        (sample.name, sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name.startswith(name)
    }
    return int(found[f"{name}_count", None] - found[f"{name}_bucket", "2.5"])
