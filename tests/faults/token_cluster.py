"""A broker that takes tokens of a provider; the connector reaches it through a proxy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.cluster import ProxiedKafka
from tests.kafka.keycloak import SECRET, Keycloak
from tests.kafka.launcher import Broker
from tests.kafka.token_listener import allow_url, token_listener

AUDIENCE = "kafka"


@dataclass
class TokenKafka(ProxiedKafka):
    """Asks the connector for a token, and ends its connections with the token."""

    size: int = 1
    provider: Keycloak = field(kw_only=True)
    certificate: Path = field(kw_only=True)
    ca: Path = field(kw_only=True)
    life_seconds: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self.options = (*self.options, allow_url(self.provider.keys_url))
        super().__post_init__()

    def login(self, folder: Path, client: str = "kis-bond") -> dict[str, str]:
        """Return the connector's settings of the login, by their names within `kafka`."""
        secret = folder / "client-secret"
        secret.write_text(f"{SECRET}\n")
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "OAUTHBEARER",
            "ssl_ca_file": str(self.ca),
            "oauth_token_url": self.provider.token_url,
            "oauth_client_id": client,
            "oauth_client_secret_file": str(secret),
            "oauth_ca_file": str(self.ca),
        }

    def introduce(self, run: Any) -> None:
        """Give a run's connector its login."""
        login = self.login(run.connector.folder)
        run.connector.environment |= {f"KIS_BOND_KAFKA__{name.upper()}": value for name, value in login.items()}

    def _of(self, broker: Broker, voters: str) -> dict[str, str]:
        return (
            super()._of(broker, voters)
            | {"listener.security.protocol.map": "PROXIED:SASL_SSL,DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT"}
            | token_listener(
                "PROXIED",
                keys_url=self.provider.keys_url,
                issuer=self.provider.issuer,
                audience=AUDIENCE,
                certificate=self.certificate,
                session_seconds=self.life_seconds,
            )
        )
