"""A broker's listener that takes access tokens, by Kafka's own validator."""

from collections.abc import Mapping
from pathlib import Path

VALIDATOR = "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator"


def token_listener(
    name: str, *, keys_url: str, issuer: str, audience: str, certificate: Path, session_seconds: int
) -> Mapping[str, str]:
    """Return the broker settings of one SASL_SSL listener, by its name.

    The keys of tokens are read from `keys_url`, which needs `allow_url` too. A connection ends with
    its token, or after `session_seconds`.
    """
    here = f"listener.name.{name.lower()}"
    handler = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificate),
        f"{here}.sasl.enabled.mechanisms": "OAUTHBEARER",
        f"{here}.oauthbearer.sasl.server.callback.handler.class": handler,
        f"{here}.oauthbearer.connections.max.reauth.ms": str(session_seconds * 1000),
        f"{here}.oauthbearer.sasl.jaas.config": (
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
        ),
        # The default of 4.1.0 checks neither signature nor audience nor issuer.
        "sasl.oauthbearer.jwt.validator.class": VALIDATOR,
        "sasl.oauthbearer.jwks.endpoint.url": keys_url,
        "sasl.oauthbearer.jwks.endpoint.refresh.ms": "1000",
        "sasl.oauthbearer.clock.skew.seconds": "0",
        "sasl.oauthbearer.expected.audience": audience,
        "sasl.oauthbearer.expected.issuer": issuer,
    }


def allow_url(url: str) -> str:
    """Return the option of the broker's JVM without which it asks no URL for keys."""
    return f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}"
