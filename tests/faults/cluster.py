"""Three brokers: the connector reaches them through proxies, others by a second listener."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.faults.proxy import Proxy
from tests.kafka.launcher import START_SECONDS, Broker, JavaKafka, wait_for_brokers
from tests.kafka.process import free_ports, wait_for_port

# Shorter than Kafka's own, so that one run has many. After a kill, the session timeout passes
# before there is a new leader. Broker and controller are one process here: if a kill takes the
# active controller along, its successor starts to count again.
TIMES = {
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "replica.lag.time.max.ms": "5000",
    "replica.fetch.backoff.ms": "200",  # or a follower is up to a second late at its new leader
    "controller.quorum.fetch.timeout.ms": "1000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.election.backoff.max.ms": "200",
}
RULES = {
    "unclean.leader.election.enable": "false",
    "producer.id.expiration.check.interval.ms": "1000",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "1000",
}


class RigTrouble(Exception):
    """The rig itself failed, such as a broker that did not start; no verdict on the connector."""


@contextlib.contextmanager
def rig_part(what: str) -> Iterator[None]:
    """Run a step in which the connector has no part; raises RigTrouble if it fails."""
    try:
        yield
    except (
        KafkaException,
        OSError,
        RuntimeError,
        subprocess.SubprocessError,
    ) as error:  # TimeoutError is a subclass of OSError
        raise RigTrouble(f"{what}: {type(error).__name__}: {error}") from error


@dataclass
class ProxiedKafka(JavaKafka):
    """`bootstrap_servers` lead through the proxies, `direct_servers` past them."""

    size: int = 3
    proxies: list[Proxy] = field(default_factory=list)
    seed: int = 1

    def __post_init__(self) -> None:
        targets, proxied = free_ports(self.size), free_ports(self.size)
        self.proxies = [
            Proxy(port, target, self.seed + place)
            for place, (port, target) in enumerate(zip(proxied, targets, strict=True))
        ]
        super().__post_init__()
        self.direct_servers = self.bootstrap_servers
        self.bootstrap_servers = ",".join(f"127.0.0.1:{port}" for port in proxied)

    def start(self) -> None:
        """Start the brokers that are not running, and wait until all answer."""
        with rig_part("the brokers did not start"):
            for broker in self.brokers:
                broker.server.start()
            deadline = time.monotonic() + START_SECONDS
            for broker in self.brokers:
                wait_for_port(broker.port, broker.server, deadline)
            wait_for_brokers(self.direct_servers, self.size, deadline)

    async def open(self) -> None:
        """Start brokers and proxies."""
        await asyncio.gather(asyncio.to_thread(self.start), *(proxy.start() for proxy in self.proxies))

    async def away(self) -> None:
        """Let no client reach a broker; the brokers themselves run on."""
        for proxy in self.proxies:
            await proxy.stop()

    async def heal(self) -> None:
        """Undo every fault: toxics, brokers that are away, frozen or dead."""
        for broker, proxy in zip(self.brokers, self.proxies, strict=True):
            proxy.heal()
            with contextlib.suppress(RuntimeError):
                broker.server.thaw()
        await self.open()

    def forward(self, port: int, place: int) -> Proxy:
        """Return another proxy to a broker, not started, on a port of its own."""
        return Proxy(port, self.proxies[place].target_port, self.seed)

    async def shut(self) -> None:
        """Stop everything and delete the data."""
        for proxy in self.proxies:
            await proxy.stop()
        await asyncio.to_thread(self.close)

    def controller(self) -> int:
        """Return the active controller's index in `brokers`. Java's tool takes a second."""
        tool = [self._java, "-cp", self._libraries, "org.apache.kafka.tools.MetadataQuorumCommand"]
        answer = subprocess.run(
            [*tool, "--bootstrap-server", self.direct_servers, "describe", "--status"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return next(int(line.split()[-1]) for line in answer.stdout.splitlines() if line.startswith("LeaderId")) - 1

    def advertise(self, ports: list[int]) -> None:
        """Make the brokers name other proxy ports to clients from their next start on."""
        for proxy, broker, port in zip(self.proxies, self.brokers, ports, strict=True):
            configuration = broker.folder / "server.properties"
            configuration.write_text(
                configuration.read_text().replace(f"PROXIED://127.0.0.1:{proxy.port}", f"PROXIED://127.0.0.1:{port}")
            )
            proxy.port = port

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        proxy = self.proxies[broker.node - 1]
        direct = f"DIRECT://127.0.0.1:{broker.port}"
        return (
            super()._of(broker, voters)
            | TIMES
            | RULES
            | {
                "listeners": f"PROXIED://127.0.0.1:{proxy.target_port},{direct},CONTROLLER://127.0.0.1:{broker.controller_port}",
                "advertised.listeners": f"PROXIED://127.0.0.1:{proxy.port},{direct}",
                "listener.security.protocol.map": "PROXIED:PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "inter.broker.listener.name": "DIRECT",
            }
        )


USER, PASSWORD = "bond", "bond-password"


@dataclass
class GuardedKafka(ProxiedKafka):
    """Asks the connector for a password (SCRAM) and checks its ACLs; others may do everything."""

    def introduce(self, run: Any) -> None:
        """Give a run's connector its password."""
        file = run.connector.folder / "password"
        file.write_text(PASSWORD)
        run.connector.environment |= {
            "KIS_BOND_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KIS_BOND_KAFKA__SASL_MECHANISM": "SCRAM-SHA-256",
            "KIS_BOND_KAFKA__SASL_USERNAME": USER,
            "KIS_BOND_KAFKA__SASL_PASSWORD_FILE": str(file),
        }

    async def admit(self) -> None:
        """Create the connector's user."""
        scram = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), PASSWORD.encode()
        )
        await self._ask(lambda client: client.alter_user_scram_credentials([scram]))

    async def revoke(self, topic: str) -> None:
        """Take away the right to write a topic; it may still be described."""
        await self._ask(lambda client: client.create_acls(_rights(topic)))

    async def restore(self, topic: str) -> None:
        """Remove the topic's ACLs, and so the refusal."""
        anything = AclBindingFilter(
            ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        await self._ask(lambda client: client.delete_acls([anything]))

    async def _ask(self, ask: Callable[[AdminClient], dict[Any, Any]]) -> None:
        client = AdminClient({"bootstrap.servers": self.direct_servers, "log_level": 0})
        for future in ask(client).values():
            await asyncio.wrap_future(future)

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        return super()._of(broker, voters) | {
            "listener.security.protocol.map": "PROXIED:SASL_PLAINTEXT,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.proxied.scram-sha-256.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",
        }


def _rights(topic: str) -> list[AclBinding]:
    return [
        AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, permission)
        for operation, permission in (
            (AclOperation.WRITE, AclPermissionType.DENY),
            (AclOperation.DESCRIBE, AclPermissionType.ALLOW),
        )
    ]


@dataclass
class TwoDiskKafka(ProxiedKafka):
    """The last broker has a second log directory, on a small volume. Needs root."""

    def __post_init__(self) -> None:
        super().__post_init__()
        second = self._second
        identity = (second / "meta.properties").read_bytes()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", second], check=True)
        (second / "meta.properties").write_bytes(identity)

    @property
    def _second(self) -> Path:
        return self.brokers[-1].folder / "data-2"

    def fill(self) -> None:
        """Fill the small volume."""
        with (self._second / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(b"\0" * 4096)

    def close(self) -> None:
        """Kill all brokers, and delete their data."""
        for broker in self.brokers:
            broker.server.kill()
        subprocess.run(["umount", "-l", self._second], check=False)
        super().close()

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        of_broker = super()._of(broker, voters)
        return of_broker | (
            {"log.dirs": f"{broker.folder / 'data'},{broker.folder / 'data-2'}"} if broker.node == self.size else {}
        )
