"""aiokafka's clients get our settings, and end so that nothing of theirs goes on."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError
from structlog.testing import capture_logs

from connector.errors import ConfigurationError
from connector.logs import clean
from connector.settings import KafkaSettings
from connector.shell.kafka import clients
from tests.conftest import started
from tests.kafka.launcher import start_kafka
from tests.kafka.reader import create_topics, read_all
from tests.security.certificates import Authority


def test_a_password_file_is_read_anew_without_its_newline(tmp_path):
    """A rotated password is used by the next client; exactly one trailing newline is trimmed."""
    password = tmp_path / "password"
    password.write_text("first\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="bond", sasl_password_file=password
    )
    arguments = clients.client_arguments(kafka, "me")
    assert (arguments["sasl_plain_password"], arguments["sasl_plain_username"], arguments["client_id"]) == (
        "first",
        "bond",
        "me",
    )
    password.write_text("second\n\n")
    assert clients.client_arguments(kafka, "me")["sasl_plain_password"] == "second\n"


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("")], ids=["vanished", "empty"])
def test_a_password_file_spoilt_while_running_leaves_the_password_read_before(tmp_path, spoil):
    """The next client uses the password read before, and the log names the file; where nothing was read before, that is an error."""
    password = tmp_path / "password"
    password.write_text("canary\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="bond", sasl_password_file=password
    )
    clients.client_arguments(kafka, "me")
    spoil(password)
    with capture_logs() as logs:
        assert clients.client_arguments(kafka, "me")["sasl_plain_password"] == "canary"
    (alarm,) = logs
    assert str(password) in str(alarm["problems"])
    assert "canary" not in str(alarm)
    clients._read_before.clear()
    with pytest.raises(ConfigurationError, match="password"):
        clients.client_arguments(kafka, "me")


def test_a_certificate_spoilt_while_running_leaves_the_one_read_before(tmp_path):
    """The context made from good files serves on while they are garbage."""
    authority = Authority(tmp_path).ca
    kafka = KafkaSettings(security_protocol="SSL", ssl_ca_file=authority)
    before = clients.client_arguments(kafka, "me")["ssl_context"]
    authority.write_text("garbage")
    assert clients.client_arguments(kafka, "me")["ssl_context"] is before


def test_passwords_and_passphrases_are_hidden_by_value(tmp_path):
    """What a client was made with stands in no log line, whatever stands around it: the password, and the passphrase of the key."""
    certificate = Authority(tmp_path).issue("client", password=b"canary passphrase")
    password, passphrase = tmp_path / "password", tmp_path / "passphrase"
    password.write_text("canary of a login\n")
    passphrase.write_text("canary passphrase\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="bond",
        sasl_password_file=password,
        ssl_certificate_file=certificate,
        ssl_key_file=certificate,
        ssl_key_password_file=passphrase,
    )
    clients.client_arguments(kafka, "me")
    assert "canary" not in clean("tried with canary passphrase after canary of a login")


def test_brokers_are_verified_by_name_and_certificate():
    """TLS checks host and certificate; there is no way to switch it off."""
    context = clients.client_arguments(KafkaSettings(security_protocol="SSL"), "me")["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_an_unusable_certificate_names_the_setting(tmp_path):
    """A file that holds no certificate is a configuration error, not a connection that fails."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"kafka\.ssl"):
        clients.client_arguments(KafkaSettings(security_protocol="SSL", ssl_ca_file=broken), "me")


async def test_a_broker_that_is_away_is_an_error_in_time(monkeypatch):
    """Starting against nobody raises, and leaves no client behind (a warning would fail this test)."""
    monkeypatch.setattr(clients, "START_SECONDS", 2.0)
    producer = clients.make_producer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "me")
    with pytest.raises((KafkaError, OSError, TimeoutError)):
        await clients.start(producer)


async def test_an_abandoned_producer_sends_nothing_later(own_kafka, topic_names):
    """What waited in a producer while the broker was away is not sent when the broker is back."""
    create_topics(own_kafka.bootstrap_servers, {topic_names.ticks: 1})
    producer = clients.make_producer(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers), "me")
    await clients.start(producer)
    await producer.send_and_wait(topic_names.ticks, b"before", partition=0)
    await asyncio.to_thread(own_kafka.stop)
    waiting = await producer.send(topic_names.ticks, b"zombie", partition=0)
    async with asyncio.timeout(10):
        await clients.abandon(producer)
    await asyncio.to_thread(own_kafka.start)
    other = clients.make_producer(KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers), "me")
    await clients.start(other)
    await other.send_and_wait(topic_names.ticks, b"after", partition=0)
    await clients.abandon(other)
    values = [
        record.value for record in await asyncio.to_thread(read_all, own_kafka.bootstrap_servers, topic_names.ticks)
    ]
    assert values == [b"before", b"after"]
    waiting.cancel()


@pytest.mark.kafka
async def test_naming_a_topic_does_not_create_it(topic_names):
    """A client that asks for a missing topic on a broker that creates topics by itself leaves none behind."""
    willing = started(
        "a Kafka that creates topics by itself", lambda: start_kafka({"auto.create.topics.enable": "true"})
    )
    try:
        producer = clients.make_producer(KafkaSettings(bootstrap_servers=willing.bootstrap_servers), "me")
        await clients.start(producer)
        with pytest.raises(KafkaError):
            async with asyncio.timeout(30):
                await producer.partitions_for(topic_names.ticks)
        topics = (await producer.client.fetch_all_metadata()).topics()
        await clients.abandon(producer)
        assert topic_names.ticks not in topics
    finally:
        await asyncio.to_thread(willing.close)
