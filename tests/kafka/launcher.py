"""A real Kafka for tests and benchmarks: a given one, one in Docker, or Maven's jars on Java."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.kafka import jars
from tests.kafka.jars import Unavailable
from tests.kafka.process import Server, free_ports, wait_for_port

IMAGE = "apache/kafka:4.1.0"
DOCKER_SOCKET = "/var/run/docker.sock"
START_SECONDS = 180
HEAP = "-Xmx512m"
TESTED = (HEAP, *jars.BRIEF)
MEASURED = (HEAP,)  # a benchmark's broker is compiled as well as a user's


class KafkaCluster(Protocol):
    """Brokers to test on; `restartable` is False if they are not ours to stop."""

    bootstrap_servers: str
    restartable: bool

    def start(self) -> None:
        """Start all brokers on their old ports and data, and return once they answer."""

    def stop(self) -> None:
        """Stop all brokers; data and ports are kept."""

    def close(self) -> None:
        """Stop all brokers for good, and delete their data."""


def find_kafka(properties: Mapping[str, str] | None = None, options: Sequence[str] = TESTED) -> KafkaCluster:
    """Return a running Kafka: `KAFKA_BOOTSTRAP_SERVERS`, else Docker, else Java.

    `properties` are broker settings for a Kafka that is started here, `options` those of its JVM if
    it is started by Java; a given one is used as it is. Raises `Unavailable` with every reason.
    """
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return GivenKafka(given)
    return start_kafka(properties, options)


def start_kafka(properties: Mapping[str, str] | None = None, options: Sequence[str] = TESTED) -> KafkaCluster:
    """Return a Kafka of one broker that the caller may stop. Raises `Unavailable`."""
    reasons = []
    for kind in (DockerKafka, partial(JavaKafka, options=options)):
        try:
            cluster: KafkaCluster = kind(properties=properties or {})
            cluster.start()
        except Unavailable as reason:
            reasons.append(str(reason))
        else:
            return cluster
    raise Unavailable("; ".join(["KAFKA_BOOTSTRAP_SERVERS is not set or not ours to stop", *reasons]))


@dataclass
class GivenKafka:
    """A Kafka someone else runs."""

    bootstrap_servers: str
    restartable: bool = False

    def start(self) -> None:
        """Do nothing: it runs."""

    def stop(self) -> None:
        """Refuse: it is not ours to stop."""
        raise Unavailable(f"The Kafka at {self.bootstrap_servers} was given to the tests and is not theirs to stop")

    def close(self) -> None:
        """Do nothing: it outlives us."""


def broker_properties(brokers: int) -> dict[str, str]:
    """Return every test broker's settings: no long waits, and replication that fits."""
    replicas = str(min(3, brokers))
    return {
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": str(max(1, min(3, brokers) - 1)),
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "3",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "3",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "1000",
    }


@dataclass
class Broker:
    """One KRaft node, both broker and controller, with its ports and folder."""

    node: int
    port: int
    controller_port: int
    folder: Path
    server: Server = field(init=False, repr=False)


@dataclass
class JavaKafka:
    """KRaft brokers as plain Java processes on the loopback; node ids count from 1.

    `options` go to the JVM of each broker. Beside `start` and `stop` of all brokers,
    `brokers[i].server` can be stopped, killed and frozen singly.
    """

    size: int = 1
    properties: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = TESTED
    restartable: bool = True
    brokers: list[Broker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._java = jars.java()
        self._libraries = str(jars.fetch("kafka") / "*")
        self._folder = Path(tempfile.mkdtemp(prefix="kis-bond-kafka-"))
        ports = free_ports(2 * self.size)
        self.brokers = [
            Broker(node, ports[2 * node - 2], ports[2 * node - 1], self._folder / str(node))
            for node in range(1, self.size + 1)
        ]
        self.bootstrap_servers = ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers)
        self._format()

    def start(self) -> None:
        """Start the brokers that do not run, and return once all of them answer."""
        for broker in self.brokers:
            broker.server.start()
        deadline = time.monotonic() + START_SECONDS
        for broker in self.brokers:
            wait_for_port(broker.port, broker.server, deadline)
        wait_for_brokers(self.bootstrap_servers, self.size, deadline)

    def stop(self) -> None:
        """Stop all brokers; data and ports are kept."""
        # In a controlled shutdown a node of a quorum waits for the others, so only the first may.
        for place, broker in enumerate(self.brokers):
            broker.server.stop() if place == 0 else broker.server.kill()

    def close(self) -> None:
        """Kill all brokers, and delete their data."""
        for broker in self.brokers:
            broker.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        voters = ",".join(f"{broker.node}@127.0.0.1:{broker.controller_port}" for broker in self.brokers)
        formatting = []
        for broker in self.brokers:
            broker.folder.mkdir()
            configuration = broker.folder / "server.properties"
            configuration.write_text("".join(f"{name}={value}\n" for name, value in self._of(broker, voters).items()))
            logging = "-Dorg.apache.logging.log4j.level=INFO"
            run = [self._java, *self.options, logging, "-cp", self._libraries]
            broker.server = Server([*run, "kafka.Kafka", str(configuration)], broker.folder / "broker.log")
            tool = [*run, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(configuration)]
            formatting.append(subprocess.Popen(tool, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        for process in formatting:
            _, said = process.communicate(timeout=START_SECONDS)
            if process.returncode:
                raise RuntimeError(f"Kafka's storage could not be formatted: {said[-1000:]}")

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        return (
            broker_properties(self.size)
            | {
                "node.id": str(broker.node),
                "listeners": f"PLAINTEXT://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{broker.controller_port}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker.port}",
                "controller.quorum.voters": voters,
                "log.dirs": str(broker.folder / "data"),
            }
            | dict(self.properties)
        )


@dataclass
class DockerKafka:
    """One broker of Apache's image, on a fixed loopback port so that it returns there."""

    properties: Mapping[str, str] = field(default_factory=dict)
    restartable: bool = True

    def __post_init__(self) -> None:
        self.port = free_ports(1)[0]
        self.bootstrap_servers = f"127.0.0.1:{self.port}"
        self._container: Any = None

    def start(self) -> None:
        """Start the container. Raises `Unavailable` without an engine or the image."""
        if self._container is None:
            self._container = self._create()
        else:
            self._container.get_wrapped_container().start()
        wait_for_brokers(self.bootstrap_servers, 1, time.monotonic() + START_SECONDS)

    def stop(self) -> None:
        """Stop the container, and keep it."""
        self._container.get_wrapped_container().stop(timeout=20)

    def close(self) -> None:
        """Remove the container with its data."""
        if self._container is not None:
            self._container.stop(force=True, delete_volume=True)

    def _create(self) -> Any:
        _probe_docker()
        # Ryuk would remove ours after a crash, but is one more image to pull; `close` removes it.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library's own imports
            from docker.errors import DockerException  # noqa: PLC0415 - testcontainers asks for Docker as it is imported
            from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - testcontainers asks for Docker as it is imported
        container = None
        try:
            container = DockerContainer(IMAGE)
            # `with_bind_ports` knows no host address, and this broker asks nobody for a password.
            container.ports["9092"] = ("127.0.0.1", self.port)
            for name, value in self._all_properties().items():
                container.with_env(
                    "KAFKA_" + name.upper().replace("_", "__").replace("-", "___").replace(".", "_"), value
                )
            return container.start()
        except (DockerException, OSError) as error:
            if container is not None:
                with contextlib.suppress(Exception):
                    container.stop()
            raise Unavailable(f"Docker could not start {IMAGE} ({type(error).__name__})") from error

    def _all_properties(self) -> dict[str, str]:
        return (
            broker_properties(1)
            | {
                "node.id": "1",
                "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
                "controller.quorum.voters": "1@localhost:9093",
            }
            | dict(self.properties)
        )


def _probe_docker() -> None:
    """Raise `Unavailable` if no engine listens on the local socket."""
    host = os.environ.get("DOCKER_HOST", f"unix://{DOCKER_SOCKET}")
    if not host.startswith("unix://"):
        return
    with socket.socket(socket.AF_UNIX) as engine:
        try:
            engine.connect(host.removeprefix("unix://"))
        except OSError as error:
            raise Unavailable(f"no Docker engine answered at {host} ({error.strerror})") from error


def wait_for_brokers(bootstrap_servers: str, count: int, deadline: float) -> None:
    """Return once the cluster has that many brokers, or raise `TimeoutError`."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 500})
    seen = 0
    while time.monotonic() < deadline:
        with contextlib.suppress(KafkaException):
            seen = len(admin.list_topics(timeout=2).brokers)
            if seen >= count:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{seen} of {count} brokers answered at {bootstrap_servers} in time")
