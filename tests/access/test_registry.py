"""A real OpenID provider, and a real registry and broker that take its tokens."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connector.settings import KafkaSettings, RegistrySettings
from connector.shell.access_token import NoAccessToken
from connector.shell.client_credentials import ClientCredentials
from connector.shell.kafka import clients
from connector.shell.kafka.closing import abandon
from connector.shell.registry import register
from connector.shell.registry_http import RegistryFailed, ask
from tests.conftest import ACCESS_REQUIRED, started
from tests.faults.token_cluster import TokenKafka
from tests.kafka.keycloak import SECRET, Keycloak
from tests.kafka.reader import create_topics, read_all
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


@pytest.fixture
def signed(provider, authority, tmp_path):
    """Give a function that adds a client with a key, and returns the settings of its login."""

    def add(client, key, **more):
        path = tmp_path / "key.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        provider.trust(client, key.public_key(), "k", 60)
        return {
            "oauth_token_url": provider.token_url,
            "oauth_client_id": client,
            "oauth_client_key_file": path,
            "oauth_assertion_audience": provider.issuer,
            "oauth_ca_file": authority.ca,
        } | more

    return add


async def test_a_registry_and_a_broker_take_tokens_of_a_client_with_a_key(registry, provider, authority, signed):
    """With a signed proof in place of a secret, a schema is registered and a record is written."""
    login = signed("rsa", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    settings = RegistrySettings(url=registry.url, **login)
    found = await register(settings, "signed-value", SCHEMA)
    assert (await ask(settings, "GET", f"/schemas/ids/{found}")).status == 200

    certificate = authority.issue("broker")
    given = {"provider": provider, "certificate": certificate, "ca": authority.ca, "life_seconds": 60}
    broker = started("a broker that takes tokens", lambda: TokenKafka(**given), ACCESS_REQUIRED)
    try:
        await broker.open()
        await asyncio.to_thread(create_topics, broker.direct_servers, {"ticks": 1})
        kafka = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers,
            security_protocol="SASL_SSL",
            sasl_mechanism="OAUTHBEARER",
            ssl_ca_file=authority.ca,
            **login,
        )
        producer = clients.make_producer(kafka, "test")
        await clients.start(producer)
        try:
            await producer.send_and_wait("ticks", b"x", partition=0)
        finally:
            await abandon(producer)
        assert len(await asyncio.to_thread(read_all, broker.direct_servers, "ticks")) == 1
    finally:
        await broker.shut()


async def test_a_provider_takes_a_key_of_a_curve_with_its_name_and_the_endpoint_as_audience(provider, signed):
    """A key of the curve P-256 is taken by its name, for the endpoint that the provider has."""
    url = f"{provider.issuer}/protocol/openid-connect/token"
    key = ec.generate_private_key(ec.SECP256R1())
    login = signed("curve", key, oauth_client_key_id="k", oauth_token_url=url, oauth_assertion_audience=None)
    assert (await ClientCredentials(KafkaSettings(**login), "kafka").ask(0)).text
    login["oauth_client_key_id"] = "another"
    with pytest.raises(NoAccessToken, match=r"OAUTH_REFUSED: .*check kafka\.oauth_client_id \(curve\) and kafka\."):
        await ClientCredentials(KafkaSettings(**login), "kafka").ask(0)


async def test_a_provider_refuses_another_key(provider, signed, tmp_path):
    """A key that is not the client's gets no token."""
    login = signed("strict", ec.generate_private_key(ec.SECP256R1()))
    other = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(NoAccessToken, match=r"OAUTH_REFUSED: .*check kafka\.oauth_client_id \(strict\)"):
        await ClientCredentials(KafkaSettings(**login), "kafka").ask(0)
