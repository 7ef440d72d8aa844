"""A real broker takes the tokens of an OpenID provider, over their ends and its absence."""

import asyncio
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from connector.settings import KafkaSettings
from connector.shell.kafka import clients
from connector.shell.kafka.closing import abandon
from simulator import Simulator
from tests.conftest import started
from tests.deployment import Deployment
from tests.kafka.launcher import Broker, JavaKafka
from tests.kafka.process import free_ports
from tests.kafka.provider import AUDIENCE, ISSUER, Provider
from tests.kafka.reader import create_topics, read_all
from tests.kafka.token_listener import allow_url, token_listener
from tests.security.certificates import Authority

pytestmark = pytest.mark.kafka

TOPIC, LIFE_SECONDS = "ticks", 5


@dataclass
class TokenKafka(JavaKafka):
    """A broker whose listener at `guarded` takes tokens, and ends a connection with its token."""

    certificate: Path = field(kw_only=True)
    keys_url: str = field(kw_only=True)

    def __post_init__(self):
        (port,) = free_ports(1)
        self.guarded = f"127.0.0.1:{port}"
        self.options = (*self.options, allow_url(self.keys_url))
        super().__post_init__()

    def _of(self, broker: Broker, voters: str):
        listeners = f"PLAINTEXT://127.0.0.1:{broker.port},TOKEN://{self.guarded}"
        return (
            super()._of(broker, voters)
            | {
                "listeners": f"{listeners},CONTROLLER://127.0.0.1:{broker.controller_port}",
                "advertised.listeners": listeners,
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TOKEN:SASL_SSL",
            }
            | token_listener(
                "TOKEN",
                keys_url=self.keys_url,
                issuer=ISSUER,
                audience=AUDIENCE,
                certificate=self.certificate,
                session_seconds=LIFE_SECONDS,
            )
        )


@pytest.fixture
async def provider():
    """Give a provider that runs."""
    (port,) = free_ports(1)
    running = Provider(port, LIFE_SECONDS)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def settings(provider, tmp_path):
    """Give the settings of a client of a broker that trusts the provider, and the broker."""
    authority = Authority(tmp_path)
    certificate = authority.issue("broker")

    def launch():
        return TokenKafka(certificate=certificate, keys_url=provider.keys_url)

    broker = started("a broker that takes tokens", launch)
    try:
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(create_topics, broker.bootstrap_servers, {TOPIC: 1})
        (tmp_path / "secret").write_text("canary-client-secret\n")
        yield (
            KafkaSettings(
                bootstrap_servers=broker.guarded,
                security_protocol="SASL_SSL",
                sasl_mechanism="OAUTHBEARER",
                ssl_ca_file=authority.ca,
                oauth_token_url=provider.token_url,
                oauth_client_id="bond",
                oauth_client_secret_file=tmp_path / "secret",
            ),
            broker,
        )
    finally:
        await asyncio.to_thread(broker.close)


async def test_nothing_is_lost_over_ends_of_tokens_new_keys_and_an_absent_provider(settings, provider):
    """One producer goes on over all three, and each record arrives once, in order."""
    kafka, broker = settings
    producer = clients.make_producer(kafka, "test")
    await clients.start(producer)
    sent = 0

    async def send_until(condition):
        nonlocal sent
        async with asyncio.timeout(60):
            while not condition():
                await producer.send_and_wait(TOPIC, str(sent).encode(), partition=0)
                sent += 1

    try:
        await send_until(lambda: provider.issued >= 3)
        provider.rotate()
        issued = provider.issued
        await send_until(lambda: provider.issued >= issued + 2)
        await provider.stop()
        late = asyncio.create_task(producer.send_and_wait(TOPIC, b"late", partition=0))
        await asyncio.sleep(2 * LIFE_SECONDS)
        await provider.start()
        await asyncio.wait_for(late, 60)
    finally:
        await abandon(producer)
    values = [record.value for record in await asyncio.to_thread(read_all, broker.bootstrap_servers, TOPIC)]
    assert values == [*(str(number).encode() for number in range(sent)), b"late"]


OTHER = {
    "for another audience": {"audience": "another"},
    "for no audience": {"audience": None},
    "of another issuer": {"issuer": "https://another.example"},
    "after its end": {"life": -1},
    "with a foreign signature": {"forges": True},
}


async def test_a_broker_refuses_other_tokens(settings, provider):
    """The broker's own validator refuses them, and our error says what to check."""
    kafka, _ = settings
    refused, good = {}, {name: getattr(provider, name) for name in ("audience", "issuer", "life", "forges")}
    for what, change in [*OTHER.items(), ("ours", {})]:
        for name, value in (good | change).items():
            setattr(provider, name, value)
        producer = clients.make_producer(kafka.model_copy(update={"oauth_extra": {"of": what}}), "test")
        try:
            await clients.start(producer)
        except KafkaError as error:
            refused[what] = str(error)
        finally:
            await abandon(producer)
    assert refused.keys() == OTHER.keys()
    assert all("refused our access token" in said and "kafka.oauth_audience" in said for said in refused.values())


@pytest.mark.timeout(240)
async def test_a_connector_that_logs_in_with_tokens_tells_no_secret(settings, provider, topic_names, tmp_path):
    """Topics, page, status, metrics and log hide what the provider issues, asks for and quotes."""
    kafka, broker = settings

    async def was_asked():
        return provider.refused >= 2

    async def has_sent():
        return kis.stats.ticks > sent + 50

    async with Simulator(rate=50) as kis:
        own = Deployment(kis, broker.bootstrap_servers, topic_names, tmp_path)
        own.create_topics()
        given = kafka.model_dump(exclude_unset=True)
        own.environment |= {f"KIS_BOND_KAFKA__{name.upper()}": str(value) for name, value in given.items()}
        own.environment["KIS_BOND_LOG__LEVEL"] = "debug"
        isins = ["KR103502GA34", "KR103502GD31"]
        own.write("desk", {"instruments": isins})
        await own.start()
        try:
            await own.until_state("ACTIVE", isins)
            provider.quotes = True
            await own.until(was_asked)
            shown = [await own.text("/status"), await own.text("/metrics")]
            provider.quotes, sent = False, kis.stats.ticks
            await own.until(has_sent)
            kis.rate = 0
            await own.until_delivered()
            shown += [await own.text(path) for path in ("/status", "/metrics", "/readyz", "/")]
        finally:
            await own.end()
        for name in ("ticks", "dead_letters", "status", "events"):
            shown += [
                repr((each.key, each.value, each.headers)) for each in await own.records(getattr(topic_names, name))
            ]
        shown.append(own.log.read_text())
    assert "OAUTH_REFUSED" in shown[-1]
    secrets = ["canary-client-secret", b64encode(b"bond:canary-client-secret").decode()]
    secrets += [part for token in provider.tokens for part in token.split(".")[1:]]
    assert not [secret for secret in secrets for text in shown if secret in text]
