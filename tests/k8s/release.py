"""A release of the chart on a real cluster, with an exchange and a Kafka outside of it."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from connector.core.ticks.avro import decode
from simulator import Simulator
from tests.deployment import SCHEMA
from tests.helm.chart import CHART
from tests.k8s.cluster import HOST, Cluster
from tests.kafka.launcher import Broker, JavaKafka
from tests.kafka.process import free_ports
from tests.kafka.reader import read_all
from tests.replicas.rig import Ledger, bonds

NAMESPACE, RELEASE = "bonds", "bond"
NAME = f"{RELEASE}-kis-bond-connector"
SECRET = "kis-app-keys"
BONDS, RATE, KEYS = 24, 60.0, 1
SECONDS = 300
VOLUMES = 3


@dataclass
class PodKafka(JavaKafka):
    """One broker, which pods reach by a second listener on the node's address."""

    def __post_init__(self) -> None:
        (self.pod_port,) = free_ports(1)
        super().__post_init__()

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        found = super()._of(broker, voters)
        for name in ("listeners", "advertised.listeners"):
            found[name] += f",PODS://{HOST}:{self.pod_port}"
        found["listener.security.protocol.map"] += ",PODS:PLAINTEXT"
        return found | {"inter.broker.listener.name": "PLAINTEXT"}


class Release:
    """The release, its exchange and its Kafka; `values` are what `helm upgrade` gets next."""

    def __init__(self, cluster: Cluster, kis: Simulator, kafka: PodKafka, image: str) -> None:
        self.cluster, self.kis, self.kafka = cluster, kis, kafka
        self.isins = list(kis.settings.bonds)
        self.values = _values(kis, kafka, image, self.isins)
        self._began = (0, 0, 0)

    async def helm(self, *arguments: str, values: dict[str, Any] | None = None) -> tuple[int, str, float]:
        """Run Helm; return its exit code, what it said, and how many seconds it took."""
        since = time.monotonic()
        done = await asyncio.to_thread(
            self.cluster.run,
            [str(self.cluster.helm), *arguments, "--namespace", NAMESPACE, "--timeout", "4m",
             *(("--values", "-") if values is not None else ())],
            input=None if values is None else json.dumps(values),
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, time.monotonic() - since

    async def apply(self, *arguments: str, **changes: Any) -> tuple[int, str, float]:
        """Install or upgrade, and wait for the pods; changed values stay if Helm succeeds."""
        values = self.values | changes
        code, said, took = await self.helm(
            "upgrade", "--install", RELEASE, str(CHART), "--wait", *arguments, values=values
        )
        if code == 0:
            self.values = values
        return code, said, took

    async def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the release's namespace."""
        return await asyncio.to_thread(self.cluster.kubectl, "--namespace", NAMESPACE, *arguments)

    async def owner(self) -> str:
        """Return the pod that has the session."""
        for number in range(self.values["replicas"]):
            said = await self.kubectl("exec", pod := f"{NAME}-{number}", "--", "python3", "-c", _ASK)
            if json.loads(said)["replica"]["slots"]:
                return pod
        raise AssertionError("no pod has a slot")

    async def until(self, what: str, condition: Callable[[], Any], seconds: float = SECONDS) -> float:
        """Wait for a condition, and return how long that took."""
        since = time.monotonic()
        while not condition():
            assert time.monotonic() - since < seconds, f"{what}: not in {seconds} s\n{await self._state()}"
            await asyncio.sleep(0.05)
        return time.monotonic() - since

    async def _state(self) -> str:
        wide = await self.kubectl("get", "pods,jobs", "--output", "wide")
        with contextlib.suppress(AssertionError):
            for number in range(self.values["replicas"]):
                wide += await self.kubectl("logs", "--tail", "30", f"{NAME}-{number}")
        return wide

    def registered(self) -> set[str]:
        """Return the bonds that the exchange holds."""
        return {isin for session in self.kis.sessions for isin in session.tr_keys}

    async def until_active(self) -> float:
        """Wait until the exchange holds every bond."""
        return await self.until("every bond is active", lambda: self.registered() == set(self.isins))

    async def traded(self, seconds: float) -> None:
        """Wait until so many seconds' worth of trades happened."""
        goal = len(self.kis.sent) + RATE * seconds
        await self.until("trades", lambda: len(self.kis.sent) >= goal, seconds * 3 + 30)

    def begin(self) -> None:
        """Begin a trial: its figures count from here."""
        self._began = (len(self.kis.sent), len(self.kis.replies), len(self.kis.connects))

    async def ledger(self) -> Ledger:
        """Wait until Kafka has each trade of the trial that was heard; return the figures."""
        sent, replies, connects = self._began
        window = self.kis.sent[sent:]
        trades = {(each.tr_key, int(each.raw.split("^")[16])) for frame in window for each in frame.records}
        heard = {
            (each.tr_key, int(each.raw.split("^")[16]))
            for frame in window
            if frame.kind == "ticks"
            for each in frame.records
        }
        deadline = time.monotonic() + 60
        while True:
            records = await asyncio.to_thread(read_all, self.kafka.bootstrap_servers, "bond.ticks")
            ticks = [decode(record.value or b"", SCHEMA) for record in records]
            delivered = {(tick["STND_ISCD"], int(tick["ACML_VOL"])) for tick in ticks}
            if heard <= delivered or time.monotonic() > deadline:
                break
            await asyncio.sleep(1)
        told = SimpleNamespace(replies=self.kis.replies[replies:], connects=self.kis.connects[connects:])
        stand_in: Any = SimpleNamespace(isins=self.isins, kis=told, double=[], exit_codes=[])
        unasked: Any = None  # the auditor has rows of its own
        ticks = [tick for tick in ticks if (tick["STND_ISCD"], int(tick["ACML_VOL"])) in trades]
        return Ledger(stand_in, ticks, {}, window, [], of_auditor=unasked)


_ASK = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/status').read().decode())"


def _values(kis: Simulator, kafka: PodKafka, image: str, isins: list[str]) -> dict[str, Any]:
    return {
        "replicas": 2,
        "image": {"repository": image, "tag": "latest"},
        "appKeys": {"existingSecret": SECRET},
        "config": {
            "kafka": {"bootstrap_servers": f"{HOST}:{kafka.pod_port}"},
            "kis": {"approval_url": kis.approval_url, "websocket_url": kis.websocket_url, "allow_cleartext": True},
            "journal": {"max_bytes": "64MiB"},
            "replicas": {"coordination": "group"},
        },
        "journal": {"claim": {"size": "128Mi", "storageClassName": "journals"}},
        "topics": {"init": True},
        "subscriptions": {"lists": {"desk": {"instruments": isins}}},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }


def prepare(cluster: Cluster) -> None:
    """Create the restricted namespace, the app keys and the volumes."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    keys = {f"{part}-{slot}": f"test-{part}-{slot}" for part in ("appkey", "appsecret") for slot in range(KEYS)}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}},
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "journals"},
            "provisioner": "kubernetes.io/no-provisioner",
        },
        *(_volume(cluster.folder / f"volume-{number}") for number in range(VOLUMES)),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": NAMESPACE},
            "stringData": keys,
        },
    )


def _volume(folder: Path) -> dict[str, Any]:
    folder.mkdir(mode=0o770)
    folder.parent.chmod(0o755)
    folder.chmod(0o777)  # a local folder is not given to the pod's group
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": folder.name},
        "spec": {
            "capacity": {"storage": "128Mi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "journals",
            "hostPath": {"path": str(folder)},
        },
    }


@contextlib.asynccontextmanager
async def released(cluster: Cluster, image: str) -> AsyncIterator[Release]:
    """Give a release that is installed, with an open market."""
    kafka = await asyncio.to_thread(PodKafka)
    try:
        await asyncio.to_thread(kafka.start)
        await asyncio.to_thread(prepare, cluster)
        async with Simulator(seed=4, bonds=bonds(BONDS), host=HOST, linger_seconds=0) as kis:
            yield Release(cluster, kis, kafka, image)
    finally:
        await asyncio.to_thread(kafka.close)
