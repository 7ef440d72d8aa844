"""A broker that takes tokens of a provider; the connector reaches it through a proxy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.cluster import ProxiedKafka
from tests.kafka.keycloak import AUDIENCE, SECRET, Keycloak
from tests.kafka.launcher import Broker
from tests.kafka.token_listener import allow_url, token_listener


@dataclass
class TokenKafka(ProxiedKafka):
    """Asks the connector for a token, and ends its connections with the token."""

    size: int = 1
    provider: Keycloak = field(kw_only=True)
    certificate: Path = field(kw_only=True)
    ca: Path = field(kw_only=True)
    life_seconds: int = field(kw_only=True)
    client: str = "kis-bond"

    def __post_init__(self) -> None:
        self.options = (*self.options, allow_url(self.provider.keys_url))
        super().__post_init__()

    def introduce(self, run: Any) -> None:
        """Give a run's connector its login."""
        secret = run.connector.folder / "client-secret"
        secret.write_text(f"{SECRET}\n")
        login = {
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": "OAUTHBEARER",
            "SSL_CA_FILE": str(self.ca),
            "OAUTH_TOKEN_URL": self.provider.token_url,
            "OAUTH_CLIENT_ID": self.client,
            "OAUTH_CLIENT_SECRET_FILE": str(secret),
            "OAUTH_CA_FILE": str(self.ca),
        }
        run.connector.environment |= {f"KIS_BOND_KAFKA__{name}": value for name, value in login.items()}

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
