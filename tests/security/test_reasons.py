"""Each reason why a real, secured broker cannot be used has a sentence, in every command."""

import asyncio

import pytest
import structlog
from typer.testing import CliRunner

from connector.cli import app
from connector.settings import load
from connector.shell.kafka import clients
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.compacted_topic import CompactedTopic
from connector.shell.kafka.diagnosis import Unreachable
from tests.conftest import started
from tests.kafka.launcher import start_kafka
from tests.kafka.secured import SecuredKafka
from tests.security.certificates import Authority

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(func_only=True)]

TLS = {"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": "authority"}
SASL = {"SASL_USERNAME": "bond", "SASL_PASSWORD_FILE": "password", "SASL_MECHANISM": "SCRAM-SHA-512"}
SASL_TLS = SASL | TLS | {"SECURITY_PROTOCOL": "SASL_SSL"}
SASL_PLAIN = SASL | {"SECURITY_PROTOCOL": "SASL_PLAINTEXT"}
BAD_LOGIN = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """Give a broker with all guarded listeners; `files` are those its clients may use."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = Authority(folder), Authority(folder, "another authority")

    def launch():
        server, expired = authority.issue("broker"), authority.issue("expired", days=-1)
        return SecuredKafka(server=server, expired=expired, ca=authority.ca, user="bond", password="right-password")

    made = started("a broker with TLS, SASL and ACLs", launch)
    made.start()
    made.files = {"authority": authority.ca, "other": other.ca, "stranger": other.issue("stranger")}
    for name in ("right-password", "wrong-password"):
        (folder / name).write_text(name)
        made.files[name.replace("right-", "")] = folder / name
    yield made
    made.close()


@pytest.fixture(scope="module")
def hidden_kafka():
    """Give a Kafka that announces an address which does not exist."""
    properties = {"advertised.listeners": "PLAINTEXT://nowhere.invalid:9092"}
    made = started("a Kafka with a dead advertised address", lambda: start_kafka(properties))
    yield made
    made.close()


def environment(broker, servers, given):
    """Return the environment for Kafka's settings; a name in the broker's files becomes a path."""
    files = {name: str(path) for name, path in broker.files.items()}
    values = {name: files.get(value, value) for name, value in given.items()} | {"BOOTSTRAP_SERVERS": servers}
    return {f"KIS_BOND_KAFKA__{name}": value for name, value in values.items()}


async def reason(broker, servers, given):
    """Return why the cluster cannot be reached."""
    with pytest.raises(Unreachable) as error:
        await clients.leaders(load(None, environment(broker, servers, given)).kafka, "test", ["ticks"])
    return str(error.value)


CASES = {
    "wrong password": (
        ("LOGIN", SASL_TLS | {"SASL_PASSWORD_FILE": "wrong-password"}),
        f"{{at}} refused the user bond or its password (SCRAM-SHA-512): {BAD_LOGIN}",
    ),
    "wrong password, PLAIN": (
        ("LOGIN", SASL_TLS | {"SASL_PASSWORD_FILE": "wrong-password", "SASL_MECHANISM": "PLAIN"}),
        "{at} refused the user bond or its password (PLAIN): Authentication failed: Invalid username or password",
    ),
    "unknown user": (
        ("LOGIN", SASL_TLS | {"SASL_USERNAME": "nobody"}),
        f"{{at}} refused the user nobody or its password (SCRAM-SHA-512): {BAD_LOGIN}",
    ),
    "mechanism off": (
        ("SCRAM", SASL_PLAIN | {"SASL_MECHANISM": "SCRAM-SHA-256"}),
        "{at} does not accept kafka.sasl_mechanism SCRAM-SHA-256: it offers SCRAM-SHA-512",
    ),
    "no login at a SASL port": (
        ("SCRAM", {}),
        "{at} asks for a login (SCRAM-SHA-512): set kafka.security_protocol to SASL_PLAINTEXT",
    ),
    "no login at a SASL port with TLS": (
        ("LOGIN", TLS),
        "{at} asks for a login (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512): set kafka.security_protocol to SASL_SSL",
    ),
    "a login at a port with TLS only": (
        ("TLS", SASL_TLS),
        "{at} asks for no login: set kafka.security_protocol to SSL",
    ),
    "TLS at a plain port": (
        ("PLAIN", TLS),
        "{at} does not speak TLS: set kafka.security_protocol to PLAINTEXT, or use its TLS port",
    ),
    "TLS and a login at a plain port": (
        ("SCRAM", SASL_TLS),
        "{at} does not speak TLS: set kafka.security_protocol to SASL_PLAINTEXT, or use its TLS port",
    ),
    "plain at a TLS port": (("TLS", {}), "{at} speaks TLS only: set kafka.security_protocol to SSL"),
    "a plain login at a TLS port": (
        ("LOGIN", SASL_PLAIN),
        "{at} speaks TLS only: set kafka.security_protocol to SASL_SSL",
    ),
    "no client certificate": (("MTLS", TLS), "{at} wants a client certificate that it trusts: "),
    "another client certificate": (
        ("MTLS", TLS | {"SSL_CERTIFICATE_FILE": "stranger", "SSL_KEY_FILE": "stranger"}),
        "{at} wants a client certificate that it trusts: ",
    ),
    "an expired certificate": (("EXPIRED", TLS), "the certificate of {at} (for 127.0.0.1) expired on 20"),
    "a certificate of another authority": (
        ("TLS", TLS | {"SSL_CA_FILE": "other"}),
        "the certificate of {at} (for 127.0.0.1) is signed by CN=test authority, which kafka.ssl_ca_file does",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_reason_is_named(broker, case):
    """Each mistake in the settings, and each bad certificate, has a sentence of its own."""
    (listener, given), sentence = CASES[case]
    at = broker.bootstrap_servers if listener == "PLAIN" else broker.address(listener)
    assert (await reason(broker, at, given)).startswith(sentence.format(at=at))


async def test_a_certificate_for_another_host_is_named(broker):
    """The sentence has the name that was asked for and the names of the certificate."""
    at = broker.address("TLS", "localhost")
    assert (await reason(broker, at, TLS)).startswith(
        f"the certificate of {at} (for 127.0.0.1) does not name localhost"
    )


async def test_an_announced_address_that_is_dead_is_named(broker, hidden_kafka):
    """The reason names an advertised address that does not exist."""
    assert await reason(broker, hidden_kafka.bootstrap_servers, {}) == (
        "Kafka announces broker 1 at nowhere.invalid:9092 (its advertised.listeners),"
        " but the host nowhere.invalid is unknown: its name does not resolve"
    )


@pytest.fixture
def _logs_as_before():
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logs_as_before")
@pytest.mark.parametrize(
    "arguments", [("topics", "verify"), ("subs", "ls"), ("tail", "--count", "1"), ("check", "--connect")]
)
@pytest.mark.parametrize("case", ["wrong password", "dead announced address"])
def test_every_command_names_the_reason(  # noqa: PLR0917 - fixtures and columns
    broker, hidden_kafka, tmp_path, monkeypatch, arguments, case
):
    """Each command that asks Kafka ends with 5 and the sentence."""
    monkeypatch.chdir(tmp_path)
    if case == "wrong password":
        wrong = SASL_TLS | {"SASL_PASSWORD_FILE": "wrong-password"}
        given, sentence = environment(broker, broker.address("LOGIN"), wrong), "refused the user bond or its password"
    else:
        given = environment(broker, hidden_kafka.bootstrap_servers, {})
        sentence = "Kafka announces broker 1 at nowhere.invalid:9092"
    nobody = {"KIS_BOND_KIS__APPROVAL_URL": "http://127.0.0.1:1", "KIS_BOND_KIS__WEBSOCKET_URL": "ws://127.0.0.1:1"}
    keys = {"KIS_BOND_KIS__APPKEY": "PS-of-reasons", "KIS_BOND_KIS__APPSECRET": "app-secret-of-reasons"}
    result = CliRunner().invoke(app, [*arguments], env=given | nobody | keys)
    assert result.exit_code == 5, result.output
    assert sentence in " ".join((result.stderr + result.stdout).split())
    assert "Unable to bootstrap" not in result.output


async def test_the_problem_of_a_reader_names_the_reason(broker):
    """What /readyz shows of the control topic has the sentence."""
    kafka = load(None, environment(broker, broker.address("TLS"), {})).kafka
    reader = CompactedTopic("t", lambda: client_arguments(kafka, "test"), lambda _: None, lambda _: None)
    task = asyncio.create_task(reader.run())
    async with asyncio.timeout(30):
        while reader.problem is None:
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert reader.problem == (
        f"t could not be read: {broker.address('TLS')} speaks TLS only: set kafka.security_protocol to SSL"
    )
