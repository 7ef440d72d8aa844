"""Kafka over TLS and SASL, with the least rights, on a real broker, without leaking a secret."""

import asyncio
import logging
import signal
import ssl
from pathlib import Path

import pytest
import structlog
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation, ResourceType
from typer.testing import CliRunner

from connector.cli import app
from connector.settings import load
from connector.shell.kafka import clients
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.closing import abandon
from connector.shell.slot_group import SlotGroup
from simulator import Simulator
from tests.conftest import started
from tests.deployment import Deployment
from tests.faults.rig import bonds
from tests.kafka.reader import create_topics, read_all
from tests.kafka.secured import SecuredKafka
from tests.security.certificates import Authority

pytestmark = pytest.mark.kafka

USER, PASSWORD, PASSPHRASE = "bond", "canary-sasl-password", "canary-key-passphrase"
OF_REGISTRY = "canary-registry-password"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """Give a broker with all guarded listeners, and the files that its clients need."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)

    def launch():
        return SecuredKafka(
            server=authority.issue("broker"),
            expired=authority.issue("expired", days=-1),
            ca=authority.ca,
            user=USER,
            password=PASSWORD,
        )

    made = started("a broker with TLS, SASL and ACLs", launch)
    made.start()
    made.folder, made.authority = folder, authority
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    (folder / "of-registry").write_text(f"{OF_REGISTRY}\n")
    authority.issue("bond-connector", password=PASSPHRASE.encode())
    yield made
    made.close()


def settings(broker, listener, host="127.0.0.1", **changes):
    """Return Kafka settings for one listener."""
    given = {
        "BOOTSTRAP_SERVERS": broker.address(listener, host),
        "SECURITY_PROTOCOL": "SSL",
        "SSL_CA_FILE": str(broker.authority.ca),
    }
    if listener == "MTLS":
        client = str(broker.folder / "bond-connector.pem")
        given |= {
            "SSL_CERTIFICATE_FILE": client,
            "SSL_KEY_FILE": client,
            "SSL_KEY_PASSWORD_FILE": str(broker.folder / "passphrase"),
        }
    if listener == "LOGIN":
        given |= {
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_USERNAME": USER,
            "SASL_PASSWORD_FILE": str(broker.folder / "password"),
        }
    return load(None, {f"KIS_BOND_KAFKA__{name}": value for name, value in (given | changes).items()}).kafka


async def send(kafka, topic):
    """Send one record with the connector's own producer."""
    producer = clients.make_producer(kafka, "test")
    await clients.start(producer)
    try:
        await producer.send_and_wait(topic, b"tick", partition=0)
    finally:
        await abandon(producer)


WAYS = [
    ("TLS", {}),
    ("MTLS", {}),
    *(("LOGIN", {"SASL_MECHANISM": name}) for name in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")),
]


@pytest.mark.parametrize(("listener", "changes"), WAYS, ids=[f"{name} {list(more.values())}" for name, more in WAYS])
async def test_a_record_arrives_over(broker, topic_names, listener, changes):
    """Every supported way of connecting works."""
    create_topics(broker.bootstrap_servers, {topic_names.ticks: 1})
    broker.allow(topic_names.ticks, AclOperation.WRITE, AclOperation.DESCRIBE)
    await send(settings(broker, listener, **changes), topic_names.ticks)
    assert [record.value for record in read_all(broker.bootstrap_servers, topic_names.ticks)] == [b"tick"]


@pytest.mark.parametrize(
    ("listener", "host", "wrong_ca", "said"),
    [
        ("TLS", "127.0.0.1", True, "which kafka.ssl_ca_file does not trust"),
        ("TLS", "localhost", False, "does not name localhost"),
        ("EXPIRED", "127.0.0.1", False, "expired on"),
    ],
)
async def test_a_certificate_that_is_not_right_is_refused(  # noqa: PLR0917 - fixtures and columns
    broker, topic_names, tmp_path, caplog, listener, host, wrong_ca, said
):
    """A wrong certificate opens no connection; the log names the address and what is wrong."""
    ca = Authority(tmp_path, "another authority").ca if wrong_ca else broker.authority.ca
    with caplog.at_level(logging.INFO, "aiokafka"), pytest.raises(KafkaError):
        await send(settings(broker, listener, host, SSL_CA_FILE=str(ca)), topic_names.ticks)
    lines = [record.getMessage() for record in caplog.records if "the certificate of" in record.getMessage()]
    assert lines
    assert all(broker.address(listener, host) in line and said in line for line in lines)


async def test_tls_is_1_2_at_least(broker):
    """Older versions are not offered."""
    assert client_arguments(settings(broker, "TLS"), "test")["ssl_context"].minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_a_rotated_password_is_used_by_the_next_client(broker, topic_names, tmp_path):
    """A wrong password fails; a right one in the same file works without a restart."""
    create_topics(broker.bootstrap_servers, {topic_names.ticks: 1})
    broker.allow(topic_names.ticks, AclOperation.WRITE, AclOperation.DESCRIBE)
    password = tmp_path / "password"
    password.write_text("wrong")
    kafka = settings(broker, "LOGIN", SASL_MECHANISM="SCRAM-SHA-512", SASL_PASSWORD_FILE=str(password))
    with pytest.raises(KafkaError):
        await send(kafka, topic_names.ticks)
    password.write_text(PASSWORD)
    await send(kafka, topic_names.ticks)


async def test_a_certificate_that_is_renewed_is_used_by_the_next_client(broker, topic_names, tmp_path):
    """A stranger's certificate fails; the renewed file works without a restart."""
    create_topics(broker.bootstrap_servers, {topic_names.ticks: 1})
    certificate = tmp_path / "client.pem"
    certificate.write_bytes(Authority(tmp_path, "nobody").issue("nobody").read_bytes())
    files = {"SSL_CERTIFICATE_FILE": str(certificate), "SSL_KEY_FILE": str(certificate)}
    kafka = settings(broker, "MTLS", **files)
    with pytest.raises((KafkaError, OSError)):
        await send(kafka, topic_names.ticks)
    certificate.write_bytes((broker.folder / "bond-connector.pem").read_bytes())
    await send(kafka, topic_names.ticks)


@pytest.mark.parametrize("part", ["ticks", "events", "dead_letters"])
async def test_without_the_right_to_write_nothing_is_written(broker, topic_names, part):
    """The right to write one topic does not extend to another."""
    refused = getattr(topic_names, part)
    create_topics(broker.bootstrap_servers, {topic_names.status: 1, refused: 1})
    broker.allow(topic_names.status, AclOperation.WRITE, AclOperation.DESCRIBE)
    broker.allow(refused, AclOperation.DESCRIBE)
    kafka = settings(broker, "LOGIN", SASL_MECHANISM="SCRAM-SHA-512")
    await send(kafka, topic_names.status)
    with pytest.raises(TopicAuthorizationFailedError):
        await send(kafka, refused)
    assert read_all(broker.bootstrap_servers, refused) == []


@pytest.mark.parametrize(
    ("of_topic", "of_group", "said"),
    [
        ((AclOperation.READ, AclOperation.DESCRIBE), (), "GroupAuthorizationFailedError"),
        ((), (AclOperation.READ,), "does not exist or may not be described"),
    ],
)
async def test_without_the_rights_on_the_slots_none_is_got(broker, topic_names, of_topic, of_group, said):
    """A replica without rights on the slot topic or group says so and owns no slot."""
    group_id, assignments = f"{topic_names.slots}-group", []
    create_topics(broker.bootstrap_servers, {topic_names.slots: 1})
    for operations, name, kind in (
        (of_topic, topic_names.slots, ResourceType.TOPIC),
        (of_group, group_id, ResourceType.GROUP),
    ):
        if operations:
            broker.allow(name, *operations, of=kind)
    kafka = settings(broker, "LOGIN", SASL_MECHANISM="SCRAM-SHA-512")
    group = SlotGroup(
        topic_names.slots,
        group_id,
        6.0,
        lambda: client_arguments(kafka, "test"),
        claim=lambda: (frozenset(), frozenset()),
        on_assigned=assignments.append,
        on_heard=lambda: None,
    )
    task = asyncio.create_task(group.run())
    async with asyncio.timeout(30):
        while group.problem is None and not any(assignments):
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert not any(assignments)
    assert said in (group.problem or "")


@pytest.fixture
def _logs_as_before():
    """Undo what a command did to this process's logs."""
    yield
    structlog.reset_defaults()


READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE


@pytest.mark.usefixtures("_logs_as_before")
@pytest.mark.parametrize(
    ("control", "status", "arguments", "said"),
    [
        ((), (READ, DESCRIBE), ("ls",), "grant Describe and Read"),
        ((DESCRIBE,), (READ, DESCRIBE), ("ls",), "grant this user Read on it"),
        ((READ, DESCRIBE), (DESCRIBE,), ("rm", "--list", "desk"), "grant this user Read on it"),
        ((READ, DESCRIBE), (READ, DESCRIBE), ("add", "KR103502GA34"), "grant this user Write on the topic"),
        ((READ, DESCRIBE), (READ, DESCRIBE), ("rm", "--list", "desk"), "grant this user Write on the topic"),
        (
            (READ, DESCRIBE),
            (READ, DESCRIBE),
            ("apply", "-f", "lists.yaml", "--prune"),
            "grant this user Write on the topic",
        ),
    ],
)
def test_subs_without_rights_writes_nothing(  # noqa: PLR0917 - fixtures and columns
    broker, topic_names, tmp_path, monkeypatch, control, status, arguments, said
):
    """A missing right ends the command with 5 and its name, and the topic is unchanged."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1, topic_names.status: 1}, cleanup_policy="compact")
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    producer.produce(topic_names.control, key="desk", value='{"instruments": ["KR103502GA34"]}')
    producer.produce(topic_names.status, key="slot/0", value="{}")
    assert producer.flush(20) == 0
    for topic, operations in ((topic_names.control, control), (topic_names.status, status)):
        if operations:
            broker.allow(topic, *operations)
    (tmp_path / "lists.yaml").write_text("fund: [KR103502GD31]\n")
    monkeypatch.chdir(tmp_path)
    given = {
        **{f"TOPICS__{part.upper()}": getattr(topic_names, part) for part in ("control", "status")},
        "KAFKA__BOOTSTRAP_SERVERS": broker.address("LOGIN"),
        "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA__SSL_CA_FILE": str(broker.authority.ca),
        "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA__SASL_USERNAME": USER,
        "KAFKA__SASL_PASSWORD_FILE": str(broker.folder / "password"),
    }
    result = CliRunner().invoke(
        app, ["subs", *arguments], env={f"KIS_BOND_{name}": value for name, value in given.items()}
    )
    assert result.exit_code == 5
    assert said in result.stderr
    assert "Error" not in result.stderr
    assert [record.key for record in read_all(broker.bootstrap_servers, topic_names.control)] == [b"desk"]


@pytest.mark.timeout(240)
async def test_a_whole_connector_with_the_least_rights_tells_no_secret(broker, topic_names, tmp_path):
    """The documented ACLs suffice, and no output holds a secret, even at DEBUG and in trouble."""
    appkey, appsecret = "PScanaryappkey00000000000000000000000", "canary-appsecret-" + "x" * 160
    rights = {
        "ticks": (AclOperation.WRITE, AclOperation.DESCRIBE),
        "events": (AclOperation.WRITE, AclOperation.DESCRIBE),
        "dead_letters": (AclOperation.WRITE, AclOperation.DESCRIBE),
        "status": (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE),
        "control": (AclOperation.READ, AclOperation.DESCRIBE),
        "slots": (AclOperation.READ, AclOperation.DESCRIBE),
    }
    async with Simulator(
        app_keys=[(appkey, appsecret)], rate=50, faults=("malformed=5", "encrypted", "approval-body=html")
    ) as kis:
        own = Deployment(kis, broker.bootstrap_servers, topic_names, tmp_path)
        own.create_topics()
        create_topics(broker.bootstrap_servers, {topic_names.slots: 1})
        for name, operations in rights.items():
            broker.allow(getattr(topic_names, name), *operations)
        broker.allow("test-replicas", AclOperation.READ, of=ResourceType.GROUP)
        credentials = tmp_path / "credentials"
        credentials.mkdir()
        (credentials / "appkey-0").write_text(appkey)
        (credentials / "appsecret-0").write_text(appsecret)
        for part in ("APPKEY", "APPSECRET"):
            del own.environment[f"KIS_BOND_KIS__{part}"]
        own.environment |= {
            "KIS_BOND_KIS__CREDENTIALS_DIR": str(credentials),
            "KIS_BOND_LOG__LEVEL": "debug",
            "KIS_BOND_REPLICAS__COORDINATION": "group",
            "KIS_BOND_REPLICAS__GROUP_ID": "test-replicas",
            "KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": broker.address("LOGIN"),
            "KIS_BOND_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KIS_BOND_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "KIS_BOND_KAFKA__SASL_USERNAME": USER,
            "KIS_BOND_KAFKA__SASL_PASSWORD_FILE": str(broker.folder / "password"),
            "KIS_BOND_KAFKA__SSL_CA_FILE": str(broker.authority.ca),
            "KIS_BOND_KAFKA__SSL_CERTIFICATE_FILE": str(broker.folder / "bond-connector.pem"),
            "KIS_BOND_KAFKA__SSL_KEY_FILE": str(broker.folder / "bond-connector.pem"),
            "KIS_BOND_KAFKA__SSL_KEY_PASSWORD_FILE": str(broker.folder / "passphrase"),
            "KIS_BOND_REGISTRY__URL": "http://127.0.0.1:9",  # nobody answers there, so that its trouble is logged
            "KIS_BOND_REGISTRY__SCHEMA_ID": "1",
            "KIS_BOND_REGISTRY__USERNAME": "kis",
            "KIS_BOND_REGISTRY__PASSWORD_FILE": str(broker.folder / "of-registry"),
        }
        isins = bonds(4)
        own.write("desk", {"instruments": isins})
        await own.start()
        try:
            await own.until(lambda: _asked(kis))
            kis.faults.clear("approval-body")
            await own.until_state("ACTIVE", isins, 60)
            for how in ("abrupt", "close=1011"):
                connects = len(kis.connects)
                await kis.drop(0, how)
                await own.until(lambda connects=connects: _more(kis, connects))
                await own.until_state("ACTIVE", isins)
            await own.until(lambda: _sent(kis, 300))
            kis.rate = 0
            shown = [await own.text(path) for path in ("/metrics", "/status", "/readyz", "/livez", "/nothing")]
            shown += _of_process(own.process.pid)
            keys = [pair for session in kis.sessions for pair in session.registered.values()]
        finally:
            await own.end(signal.SIGTERM)
        assert len(await own.records(topic_names.ticks)) > 50
        assert len(await own.records(topic_names.dead_letters)) > 5
        for name in ("dead_letters", "status", "events", "ticks"):
            for record in await own.records(getattr(topic_names, name)):
                shown.append(repr((record.key, record.value, record.headers)))
        shown.append(own.log.read_text())
        approvals = [*kis._approvals._issued]
    assert "registry_id_unverified" in shown[-1]
    secrets = [
        appkey,
        appsecret,
        PASSWORD,
        PASSPHRASE,
        OF_REGISTRY,
        *(text for pair in keys for text in (pair.key, pair.iv)),
        *approvals,
    ]
    assert approvals
    assert len(secrets) > 10
    for text in shown:
        for secret in secrets:
            assert secret not in text


async def _more(kis, connects):
    return len(kis.connects) > connects


async def _sent(kis, count):
    return len(kis.sent) >= count


async def _asked(kis):
    return bool(kis.approvals)


def _of_process(pid):
    return [Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ")]
