"""Several connectors with shared app keys, and an exchange that allows one session for each."""

import asyncio
import contextlib
import itertools
import json
import shutil
import signal
import tempfile
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from connector.core.bonds.isin import with_check_digit
from connector.core.ticks.avro import TickSchema, decode
from connector.packaged_files import bond_tick
from simulator import Simulator
from tests.conftest import TopicNames
from tests.deployment import ROOT, Deployment
from tests.faults.audited import Audited, audited
from tests.faults.cluster import ProxiedKafka
from tests.faults.row import Check, at_most, equal
from tests.kafka.reader import Record, create_topics

SCHEMA = TickSchema(bond_tick())
PACE_SECONDS = 0.2  # KIS's own: what a slot's bonds need to be registered is part of each gap
SESSION_TIMEOUT_SECONDS = 6
IN_USE_WAIT_SECONDS = 5


def bonds(count: int) -> list[str]:
    """Return that many bonds."""
    return [with_check_digit(f"KR10350{number:04d}") for number in range(count)]


class Replicas:
    """The connectors of one run by name; `fenced` reaches Kafka through a proxy that can be cut."""

    def __init__(self, cluster: ProxiedKafka, kis: Simulator, names: TopicNames, folder: Path, keys: int) -> None:
        self.cluster, self.kis, self.names, self.folder, self.keys = cluster, kis, names, folder, keys
        self.isins = list(kis.settings.bonds)
        self.by_name: dict[str, Deployment] = {}
        self.exit_codes: list[int] = []
        self.double: list[str] = []
        self._began_at = 0

    async def start(self, name: str, *, fenced: bool = False, program: Path = ROOT, **settings: str) -> Deployment:
        """Start a replica, with its own journal if it ran before, and wait for its membership.

        `program` is the folder whose connector runs.
        """
        if (replica := self.by_name.get(name)) is None:
            folder = self.folder / name
            folder.mkdir()
            replica = self.by_name[name] = Deployment(self.kis, self.cluster.direct_servers, self.names, folder)
            replica.use_app_keys(self.keys)
            replica.environment |= {
                "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers
                if fenced
                else self.cluster.direct_servers,
                "KIS_BOND_REPLICAS__COORDINATION": "group",
                "KIS_BOND_REPLICAS__GROUP_ID": f"{self.names.slots}-group",
                "KIS_BOND_REPLICAS__NAME": name,
                "KIS_BOND_REPLICAS__SESSION_TIMEOUT_SECONDS": str(SESSION_TIMEOUT_SECONDS),
                "KIS_BOND_KIS__REGISTER_INTERVAL_SECONDS": str(PACE_SECONDS),
                "KIS_BOND_KIS__IN_USE_WAIT_SECONDS": str(IN_USE_WAIT_SECONDS),
                **{f"KIS_BOND_{key}": value for key, value in settings.items()},
            }
        replica.program = program
        await replica.start()
        await replica.until(lambda: self._is_member(replica))
        return replica

    async def end(self, name: str, number: int = signal.SIGTERM) -> None:
        """Send a signal, wait for the end, and save a polite one's exit code."""
        code = await self.by_name[name].end(number)
        if number == signal.SIGTERM:
            self.exit_codes.append(code)

    def signal(self, name: str, number: int) -> None:
        """Send a signal and wait for nothing."""
        process = self.by_name[name].process
        assert process is not None
        process.send_signal(number)

    async def until_active(self, seconds: float) -> float:
        """Wait until the exchange holds every bond, and return how long that took."""
        since = time.monotonic()
        await self.until(lambda: self.registered() == set(self.isins), seconds)
        return time.monotonic() - since

    async def until_on(self, key: int, seconds: float) -> float:
        """Wait until one app key's session holds every bond, and return how long that took."""
        since = time.monotonic()
        await self.until(lambda: self.sessions().get(key) == len(self.isins), seconds)
        return time.monotonic() - since

    def registered(self) -> set[str]:
        """Return the bonds that the exchange holds on any session."""
        return {isin for session in self.kis.sessions for isin in session.tr_keys}

    async def until(self, condition: Callable[[], Any], seconds: float) -> None:
        """Wait for a plain condition; if it is not met, the error has the ends of the logs."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(
                    f"--- {name}\n{replica.log.read_text()[-2500:]}" for name, replica in self.by_name.items()
                )
                raise AssertionError(f"not in {seconds} s; sessions {self.sessions()}\n{logs}")
            await asyncio.sleep(0.02)

    def sessions(self) -> dict[int | None, int]:
        """Return the number of registrations on each app key's session."""
        return {session.app_key: len(session.tr_keys) for session in self.kis.sessions}

    async def slots_of(self, name: str) -> list[int]:
        """Return the slots that a replica says it holds."""
        _, status = await self.by_name[name].ask("/status")
        found: list[int] = status.get("replica", {}).get("slots", [])
        return found

    async def all_received(self, name: str) -> None:
        """Close the market, and wait until the only replica has journalled everything sent."""
        self.kis.rate = 0
        replica = self.by_name[name]

        async def received() -> bool:
            _, status = await replica.ask("/status")
            return bool(status) and status["frames"]["received"] == sum(sent.kind == "ticks" for sent in self.kis.sent)

        await replica.until(received)

    async def _is_member(self, replica: Deployment) -> bool:
        return (await replica.ask("/readyz"))[0] == 200 or bool(
            (await replica.ask("/status"))[1].get("replica", {}).get("slots")
        )

    async def watch(self) -> None:
        """Look for two live sessions on one app key until cancelled."""
        while True:
            keys = Counter(
                session.app_key for session in self.kis.sessions if session.app_key is not None and session.tr_keys
            )
            self.double += [f"app key {key}" for key, count in keys.items() if count > 1]
            await asyncio.sleep(0.01)

    def market(self, rate: float) -> None:
        """Open the market; missed ticks count from here."""
        self._began_at = self._began_at or len(self.kis.sent)
        self.kis.rate = rate

    async def settle(self) -> "Ledger":
        """Close the market, let every replica deliver, stop them all, and read everything back."""
        self.kis.rate = 0
        sent, connects, replies = self.kis.sent[self._began_at :], len(self.kis.connects), len(self.kis.replies)
        living = [
            replica for replica in self.by_name.values() if replica.process and replica.process.returncode is None
        ]
        for replica in living:
            await replica.until(replica.is_settled, 120)
        written = await next(iter(self.by_name.values())).records(self.names.status)
        statuses = {
            name: (await replica.ask("/status"))[1] for name, replica in self.by_name.items() if replica in living
        }
        for name, replica in self.by_name.items():
            if replica in living:
                await self.end(name)
        del (
            self.kis.connects[connects:],
            self.kis.replies[replies:],
        )  # what the stops brought about is no part of the run
        reader = next(iter(self.by_name.values()))
        records, told = await reader.records(self.names.ticks), await reader.records(self.names.events)
        events = [json.loads(record.value or b"null") for record in told]
        of_auditor = await asyncio.to_thread(audited, sent, records, events)
        ticks = [decode(record.value or b"", SCHEMA) for record in records]
        return Ledger(self, ticks, statuses, sent, written, of_auditor=of_auditor)


class Ledger:
    """What became of the trades since the market opened, by the exchange's own log.

    missed: trades of wanted bonds that no session heard, or that were sent and never delivered.
    A bond's gap is the time between the trades heard before and after them; the longest counts.
    `written`: the status topic before the last stops. `audited`: what the auditor's core says.
    """

    def __init__(
        self,
        replicas: Replicas,
        ticks: list[dict[str, Any]],
        statuses: Mapping[str, Any],
        sent: list[Any],
        written: list[Record],
        *,
        of_auditor: Audited,
    ) -> None:
        self.statuses = statuses
        self.audited = of_auditor
        self.owner_changes = _owner_changes(written)
        delivered = Counter((tick["STND_ISCD"], tick["ACML_VOL"]) for tick in ticks)
        self.traded = self.missed = self.undelivered = 0
        heard: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        seen: set[tuple[str, int]] = set()
        for frame in sent:
            for record in frame.records:
                trade = (record.tr_key, int(record.raw.split("^")[16]))
                if record.tr_key not in replicas.isins or trade in seen:
                    continue
                seen.add(trade)
                self.traded += 1
                arrived = trade in delivered
                self.missed += not arrived
                self.undelivered += not arrived and frame.kind == "ticks"
                heard[record.tr_key].append((frame.at, arrived))
        self.duplicates = sum(count - 1 for count in delivered.values())
        self.gap_seconds = max((_longest_gap(trades) for trades in heard.values()), default=0.0)
        self.in_use = sum(reply.code == "OPSP8996" for reply in replicas.kis.replies)
        self.connects = sum(connect.accepted for connect in replicas.kis.connects)
        self.double = len(replicas.double)
        self.exit_codes = replicas.exit_codes

    def checks(
        self, *, owner_changes: int, missed: int | None = None, gap: float | None = None, in_use: int = 0
    ) -> list[Check]:
        """Return what must hold in every row, and the row's own bounds."""
        found = [
            equal("two sessions on one app key", self.double, 0),
            at_most("changes of owner in a slot's status record", self.owner_changes, owner_changes),
            at_most("refused as in use", self.in_use, in_use),
            equal("exit codes that are not 0", sum(code != 0 for code in self.exit_codes), 0),
        ]
        if missed is not None:
            found.append(at_most("ticks missed", self.missed, missed))
        if gap is not None:
            found.append(at_most("gap, s", round(self.gap_seconds, 2), gap))
        return found

    def audit_checks(self, *causes: str) -> list[Check]:
        """Return the checks of a row that loses trades, by what the auditor says.

        It misses the trades that a session was sent and nobody delivered. Its holes have exactly
        the volume that the exchange's log says is not in the topic, and each has one of the causes.
        """
        found = self.audited
        told = ", ".join(f"{cause} {count}" for cause, count in sorted(found.causes.items()))
        is_right = found.missed == self.undelivered and found.causes.keys() <= set(causes)
        return [
            Check("M, by the auditor", f"{found.missed:,} of {self.undelivered:,} (holes: {told})", is_right),
            equal("missing volume, by the auditor", found.volume, found.volume_kept_back),
        ]


def _owner_changes(written: list[Record]) -> int:
    """Return how often the owner changed in one slot's status records, at most."""
    owners: defaultdict[bytes, list[str]] = defaultdict(list)
    for record in written:
        owner = json.loads(record.value or b"{}").get("owner")
        if (record.key or b"").startswith(b"slot/") and owner and owners[record.key or b""][-1:] != [owner]:
            owners[record.key or b""].append(owner)
    return max((len(each) - 1 for each in owners.values()), default=0)


def _longest_gap(trades: list[tuple[int, bool]]) -> float:
    longest = 0
    last = trades[0][0]
    for at, arrived in trades:
        if arrived:
            last = at
        else:
            longest = max(longest, at - last)
    for missed, heard in itertools.pairwise(trades):
        if not missed[1] and heard[1]:
            longest = max(longest, heard[0] - _last_heard(trades, missed[0]))
    return longest / 1e9


def _last_heard(trades: list[tuple[int, bool]], before: int) -> int:
    return max((at for at, arrived in trades if arrived and at < before), default=trades[0][0])


class Rig:
    """What a row is played on: one broker, and a proxy that only the `fenced` replica uses."""

    def __init__(self, cluster: ProxiedKafka) -> None:
        self.cluster = cluster

    @contextlib.asynccontextmanager
    async def run(
        self, *, keys: int = 2, count: int = 40, exchange: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Replicas]:
        """Give a run without replicas, with its topics and one list of all bonds."""
        folder = Path(tempfile.mkdtemp(prefix="kis-bond-replicas-"))
        names = TopicNames(
            **{name: f"r{uuid.uuid4().hex[:8]}.{name.replace('_', '-')}" for name in TopicNames.__slots__}
        )
        isins = bonds(count)
        async with Simulator(seed=4, bonds=isins, **(exchange or {})) as kis:
            replicas = Replicas(self.cluster, kis, names, folder, keys)
            writer = Deployment(kis, self.cluster.direct_servers, names, folder)
            await asyncio.to_thread(writer.create_topics)
            await asyncio.to_thread(create_topics, self.cluster.direct_servers, {names.slots: keys})
            await asyncio.to_thread(writer.write, "desk", {"instruments": isins})
            watching = asyncio.create_task(replicas.watch())
            try:
                yield replicas
            finally:
                watching.cancel()
                await self.cluster.heal()
                for replica in replicas.by_name.values():
                    if replica.process and replica.process.returncode is None:
                        replica.process.send_signal(signal.SIGCONT)
                        await replica.end(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
