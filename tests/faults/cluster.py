"""Three brokers, each behind a proxy for the connector and with a listener of its own for everybody else."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from tests.faults.proxy import Proxy
from tests.kafka.launcher import START_SECONDS, Broker, JavaKafka, wait_for_brokers
from tests.kafka.process import free_ports, wait_for_port

# Shorter than Kafka's own, so that a run shows many of them; the session timeout is the time to a new leader after a kill.
# Broker and controller being one process here, a killed one may take the active controller along, whose successor counts from anew.
TIMES = {
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "replica.lag.time.max.ms": "5000",
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


@dataclass
class ProxiedKafka(JavaKafka):
    """`bootstrap_servers` lead through the proxies, `direct_servers` past them."""

    size: int = 3
    proxies: list[Proxy] = field(default_factory=list)
    seed: int = 1

    def __post_init__(self) -> None:
        targets, proxied = free_ports(self.size), free_ports(self.size)
        self.proxies = [Proxy(port, target, self.seed + place) for place, (port, target) in enumerate(zip(proxied, targets, strict=True))]
        super().__post_init__()
        self.direct_servers = self.bootstrap_servers
        self.bootstrap_servers = ",".join(f"127.0.0.1:{port}" for port in proxied)

    def start(self) -> None:
        """Start the brokers that do not run, and return once all of them answer."""
        for broker in self.brokers:
            broker.server.start()
        deadline = time.monotonic() + START_SECONDS
        for broker in self.brokers:
            wait_for_port(broker.port, broker.server, deadline)
        wait_for_brokers(self.direct_servers, self.size, deadline)

    async def open(self) -> None:
        """Start brokers and proxies."""
        await asyncio.gather(asyncio.to_thread(self.start), *(proxy.start() for proxy in self.proxies))

    async def heal(self) -> None:
        """Undo every fault: toxics, frozen and dead brokers."""
        for broker, proxy in zip(self.brokers, self.proxies, strict=True):
            proxy.heal()
            with contextlib.suppress(RuntimeError):
                broker.server.thaw()
        await self.open()

    def forward(self, port: int, place: int) -> Proxy:
        """Return another proxy to a broker, not started, on a port of its own: a name that leads to it."""
        return Proxy(port, self.proxies[place].target_port, self.seed)

    async def shut(self) -> None:
        """Stop everything and delete the data."""
        for proxy in self.proxies:
            await proxy.stop()
        await asyncio.to_thread(self.close)

    def advertise(self, ports: list[int]) -> None:
        """Name other proxy ports to clients from the brokers' next start on."""
        for proxy, broker, port in zip(self.proxies, self.brokers, ports, strict=True):
            configuration = broker.folder / "server.properties"
            configuration.write_text(configuration.read_text().replace(f"PROXIED://127.0.0.1:{proxy.port}", f"PROXIED://127.0.0.1:{port}"))
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
