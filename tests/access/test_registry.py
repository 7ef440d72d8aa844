"""A real registry that takes tokens of a real OpenID provider."""

import pytest

from connector.settings import RegistrySettings
from connector.shell.registry import RegistryFailed, ask, register
from tests.conftest import ACCESS_REQUIRED, started
from tests.kafka.keycloak import SECRET, Keycloak
from tests.kafka.registry import Registry
from tests.security.certificates import Authority

pytestmark = pytest.mark.access
SCHEMA = '{"type": "record", "name": "r", "fields": []}'


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Give the authority that signs for the provider."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def provider(authority):
    """Give a Keycloak that runs."""
    running = started("Keycloak", lambda: Keycloak.launch(authority.issue("provider"), 60), ACCESS_REQUIRED)
    yield running
    running.close()


@pytest.fixture(scope="module")
def registry(provider):
    """Give an Apicurio that asks for tokens of the provider."""
    options = {"tenant-enabled": "true", "auth-server-url": provider.issuer, "client-id": "registry"}
    given = [f"-Dquarkus.oidc.{name}={value}" for name, value in options.items()]
    running = started("a schema registry", lambda: Registry.launch(*given), ACCESS_REQUIRED)
    yield running
    running.close()


async def test_a_registry_takes_the_providers_tokens(registry, provider, authority, tmp_path):
    """Without a token the registry refuses us; with one it registers our schema."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    with pytest.raises(RegistryFailed, match="REG_REFUSED"):
        await register(RegistrySettings(url=registry.url), "ticks-value", SCHEMA)
    settings = RegistrySettings(
        url=registry.url,
        oauth_token_url=provider.token_url,
        oauth_client_id="kis-bond",
        oauth_client_secret_file=tmp_path / "secret",
        oauth_ca_file=authority.ca,
    )
    found = await register(settings, "ticks-value", SCHEMA)
    assert (await ask(settings, "GET", f"/schemas/ids/{found}")).status == 200
