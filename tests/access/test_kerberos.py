"""Kafka's login with tickets: what is told when there is none, and what is left alone."""

import asyncio

import pytest

from connector.settings import KafkaSettings
from connector.shell.kafka import clients, kerberos_login
from connector.shell.kafka.closing import abandon
from connector.shell.kafka.diagnosis import Unreachable
from tests.conftest import ACCESS_REQUIRED, started
from tests.kafka.jars import Unavailable
from tests.kafka.reader import create_topics, read_all
from tests.kafka.realm import REALM, KerberosKafka, Realm


def launch_realm():
    """Return a realm, if there is also the package that speaks to it."""
    try:
        import gssapi  # noqa: F401, PLC0415 - only some installations have it
    except ImportError as error:
        raise Unavailable(str(error)) from None
    return Realm(3600)


@pytest.fixture(scope="module")
def realm(tmp_path_factory):
    """Give a realm that runs. The cache of tickets that the environment names is not used."""
    made = started("a Kerberos realm", launch_realm, ACCESS_REQUIRED)
    foreign = tmp_path_factory.mktemp("foreign") / "tickets"
    with made, pytest.MonkeyPatch.context() as patch:
        for name, value in (made.environment | {"KRB5CCNAME": f"FILE:{foreign}"}).items():
            patch.setenv(name, value)
        yield made
    assert not foreign.exists()


@pytest.fixture(scope="module")
def broker(realm):
    """Give a broker that takes the realm's tickets."""
    made = started(
        "a broker that takes tickets", lambda: KerberosKafka(realm=realm, session_seconds=600), ACCESS_REQUIRED
    )
    made.start()
    create_topics(made.bootstrap_servers, {"ticks": 1})
    yield made
    made.close()


def settings(broker, principal, keytab, **more):
    """Return the settings of a client."""
    return KafkaSettings(
        bootstrap_servers=broker.guarded,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="GSSAPI",
        gssapi_principal=principal,
        gssapi_keytab_file=keytab,
        **more,
    )


async def refusal(kafka):
    """Return why a producer with these settings cannot start."""
    with pytest.raises(Unreachable) as refused:
        await clients.start(clients.make_producer(kafka, "test"))
    return str(refused.value)


async def write(kafka):
    """Write a record."""
    producer = clients.make_producer(kafka, "test")
    try:
        await clients.start(producer)
        await producer.send_and_wait("ticks", b"x", partition=0)
    finally:
        await abandon(producer)


async def test_a_record_is_written_with_a_ticket(realm, broker):
    """Several clients share one ticket, which is in no file."""
    kafka, before = settings(broker, realm.principal, realm.client), realm.issued()
    for _ in range(3):
        await write(kafka)
    assert realm.issued() - before == 1
    assert len(await asyncio.to_thread(read_all, broker.bootstrap_servers, "ticks")) == 3


async def test_a_keytab_that_the_realm_refuses(realm, broker):
    """The sentence names principal, keytab and remedy; a KDC is asked again with another keytab."""
    keytab = realm.keytab("locked")
    realm.replace_keys("locked")
    kafka, before = settings(broker, f"locked@{REALM}", keytab), realm.refused()
    for _ in range(3):
        told = await refusal(kafka)
        assert f"no login at {broker.guarded}: KERBEROS_LOGIN: locked@{REALM} got no ticket with {keytab}" in told
        assert "check kafka.gssapi_principal, kafka.gssapi_keytab_file and the realm in krb5.conf" in told
    assert realm.refused() - before == 2, "the library asks a KDC twice"
    realm.replace_keys("locked", keytab)
    await write(kafka)


async def test_a_keytab_without_our_key(realm, tmp_path):
    """The sentence says what is wrong with the file, and the KDC is not asked."""
    (tmp_path / "text").write_text("no keytab")
    refused = realm.refused()
    principal = f"another@{REALM}"
    for file, why in (
        (realm.client, "it holds no key of this principal"),
        (tmp_path / "text", "it holds no key of this principal"),
        (tmp_path / "gone", "it cannot be read"),
    ):
        with pytest.raises(kerberos_login.NoTicket) as failed:
            kerberos_login.Keytab(principal, str(file)).context("kafka@localhost")
        assert f"{principal} got no ticket with {file}: {why}: check kafka.gssapi_principal" in str(failed.value)
    assert realm.refused() == refused


async def test_a_service_that_the_realm_does_not_know(realm, broker):
    """The sentence names the service's principal and the setting."""
    told = await refusal(settings(broker, realm.principal, realm.client, gssapi_service_name="nfs"))
    assert "KERBEROS_SERVICE: no login at the service nfs@localhost: Server nfs/localhost@" in told
    assert "check kafka.gssapi_service_name" in told


async def test_a_realm_that_is_away(realm, broker):
    """A KDC that does not answer is named, and tried again after a while."""
    keytab = realm.keytab("patient")
    kafka = settings(broker, f"patient@{REALM}", keytab)
    other = settings(broker, realm.principal, realm.client, gssapi_service_name="http")
    await write(settings(broker, realm.principal, realm.client))
    realm.kdc.kill()
    try:
        told = await refusal(other)
        assert f"at the service http@localhost: Cannot contact any KDC for realm '{REALM}': it is asked again" in told
        assert f"Cannot contact any KDC for realm '{REALM}'" in await refusal(kafka)
    finally:
        realm.start()
    kerberos_login._keytab.cache_clear()
    await write(kafka)


async def test_a_broker_whose_keys_were_replaced(realm, broker):
    """A ticket for the old keys is refused, said so, and replaced."""
    kafka = settings(broker, realm.principal, realm.client)
    await write(kafka)
    realm.replace_keys("kafka/localhost")
    await write(kafka)  # the broker has the keys of the ticket
    old = realm.service.read_bytes()
    realm.replace_keys("kafka/localhost", realm.service)
    told = await refusal(kafka)
    assert f"{broker.guarded} refused the Kerberos login of {realm.principal}" in told
    assert "check kafka.gssapi_service_name" in told
    await write(kafka)
    realm.service.write_bytes(old)
    for _ in range(2):
        assert "refused the Kerberos login" in await refusal(kafka)
    realm.replace_keys("kafka/localhost", realm.service)
