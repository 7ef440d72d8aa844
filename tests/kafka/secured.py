"""A broker that asks who comes: TLS, TLS with client certificates, SASL over TLS, and rights in ACLs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.kafka.launcher import Broker, JavaKafka
from tests.kafka.process import free_ports

LISTENERS = ("TLS", "MTLS", "EXPIRED", "LOGIN", "SCRAM")
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass
class SecuredKafka(JavaKafka):
    """`bootstrap_servers` is a plain listener for the test itself, which may do everything; `address(LISTENER)` are the guarded ones.

    `server` and `expired` are PEM files with key and certificate, `ca` those who may come with a certificate.
    """

    server: Path = field(kw_only=True)
    expired: Path = field(kw_only=True)
    ca: Path = field(kw_only=True)
    user: str = field(kw_only=True)
    password: str = field(kw_only=True)

    def __post_init__(self) -> None:
        self._ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        super().__post_init__()

    def address(self, listener: str, host: str = "127.0.0.1") -> str:
        """Return where a listener is."""
        return f"{host}:{self._ports[listener]}"

    def start(self) -> None:
        """Start, and make the user for SCRAM."""
        super().start()
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            scram = UserScramCredentialUpsertion(
                self.user, ScramCredentialInfo(mechanism, 4096), self.password.encode()
            )
            self._ask(lambda client, scram=scram: client.alter_user_scram_credentials([scram]))

    def allow(self, name: str, *operations: AclOperation, of: ResourceType = ResourceType.TOPIC) -> None:
        """Give the user rights on a topic, or on a group."""
        rights = [
            AclBinding(
                of, name, ResourcePatternType.LITERAL, f"User:{self.user}", "*", operation, AclPermissionType.ALLOW
            )
            for operation in operations
        ]
        self._ask(lambda client: client.create_acls(rights))

    def _ask(self, ask: Callable[[AdminClient], dict[Any, Any]]) -> None:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        for future in ask(client).values():
            future.result(timeout=30)

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        guarded = [f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()]
        plain = f"PLAINTEXT://127.0.0.1:{broker.port}"
        login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{self.user}="{self.password}";'
        return super()._of(broker, voters) | {
            "listeners": ",".join([plain, *guarded, f"CONTROLLER://127.0.0.1:{broker.controller_port}"]),
            "advertised.listeners": ",".join([plain, *guarded]),
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MTLS:SSL,EXPIRED:SSL,LOGIN:SASL_SSL,SCRAM:SASL_PLAINTEXT"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.server),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "listener.name.mtls.ssl.client.auth": "required",
            "listener.name.expired.ssl.keystore.type": "PEM",
            "listener.name.expired.ssl.keystore.location": str(self.expired),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.login.plain.sasl.jaas.config": login,
            "listener.name.login.scram-sha-256.sasl.jaas.config": SCRAM,
            "listener.name.login.scram-sha-512.sasl.jaas.config": SCRAM,
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": SCRAM,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:CN=bond-connector",
        }
