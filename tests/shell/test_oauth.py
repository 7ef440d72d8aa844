"""Which clients share a token, and where it comes from."""

import pytest

from connector.settings import KafkaSettings, RegistrySettings
from connector.shell.access_token import NoAccessToken
from connector.shell.oauth import new_source, source_of


@pytest.fixture
def secret(tmp_path):
    """Give the path of a client's secret."""
    path = tmp_path / "secret"
    path.write_text("s\n")
    return path


def settings(secret, **more):
    """Return the settings of a client."""
    given = {"oauth_token_url": "https://h/token", "oauth_client_id": "bond", "oauth_client_secret_file": secret}
    return KafkaSettings(**given | more)


def test_clients_that_log_in_alike_share_a_source(secret):
    """The same settings give the same source; another scope gives another one."""
    first = source_of(settings(secret), "kafka")
    assert source_of(settings(secret, client_id="other"), "kafka") is first
    assert source_of(settings(secret, oauth_scope="s"), "kafka") is not first
    assert new_source(settings(secret), "kafka") is not first


async def test_the_provider_is_the_one_that_is_set(secret, monkeypatch):
    """Kafka's tokens may be those of AWS; the registry's come from its own provider."""
    monkeypatch.delenv("AWS_REGION", raising=False)
    with pytest.raises(NoAccessToken, match="MSK_REGION"):
        await new_source(KafkaSettings(oauth_provider="msk_iam"), "kafka").token()
    of_registry = RegistrySettings(
        oauth_token_url="https://127.0.0.1:1/token", oauth_client_id="bond", oauth_client_secret_file=secret
    )
    with pytest.raises(NoAccessToken, match=r"OAUTH_UNREACHABLE: .*https://127\.0\.0\.1:1/token"):
        await new_source(of_registry, "registry").token()
