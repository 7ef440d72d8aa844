"""aiokafka's clients get our settings."""

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
from connector.shell.kafka.closing import abandon
from connector.shell.kafka.metadata import fetch_metadata
from simulator.embedded_kafka import EmbeddedKafka
from tests.conftest import started
from tests.kafka.launcher import start_kafka
from tests.security.certificates import Authority


def test_a_password_file_is_read_for_each_client_without_its_newline(tmp_path):
    """The next client uses a rotated password; a trailing newline is trimmed, blanks are not."""
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
    password.write_text("second \r\n")
    assert clients.client_arguments(kafka, "me")["sasl_plain_password"] == "second "


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("")], ids=["vanished", "empty"])
def test_the_last_good_password_replaces_a_file_that_became_unreadable(tmp_path, spoil):
    """If a password file becomes unreadable, its last password is used and the log names it."""
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
    clients._last_good.clear()
    with pytest.raises(ConfigurationError, match="password"):
        clients.client_arguments(kafka, "me")


def test_the_last_good_certificate_replaces_a_file_that_became_unreadable(tmp_path):
    """The context made from good files is used while they are garbage."""
    authority = Authority(tmp_path).ca
    kafka = KafkaSettings(security_protocol="SSL", ssl_ca_file=authority)
    before = clients.client_arguments(kafka, "me")["ssl_context"]
    authority.write_text("garbage")
    assert clients.client_arguments(kafka, "me")["ssl_context"] is before


def test_passwords_and_passphrases_are_hidden_by_value(tmp_path):
    """A client's password and its key's passphrase are hidden in every log line."""
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
    """TLS always checks host and certificate."""
    context = clients.client_arguments(KafkaSettings(security_protocol="SSL"), "me")["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_an_unusable_certificate_names_the_setting(tmp_path):
    """A file without a certificate is a configuration error, not a connection that fails."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"kafka\.ssl"):
        clients.client_arguments(KafkaSettings(security_protocol="SSL", ssl_ca_file=broken), "me")


async def test_starting_fails_in_time_while_the_broker_is_away(monkeypatch):
    """A failed start raises and leaves no client open (a warning would fail this test)."""
    monkeypatch.setattr(clients, "START_SECONDS", 2.0)
    producer = clients.make_producer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "me")
    with pytest.raises((KafkaError, OSError, TimeoutError)):
        await clients.start(producer)


@pytest.mark.kafka
async def test_naming_a_topic_does_not_create_it(topic_names):
    """Asking for a missing topic creates none, even on brokers that create topics on demand."""
    willing = started(
        "a Kafka that creates topics by itself", lambda: start_kafka({"auto.create.topics.enable": "true"})
    )
    try:
        producer = clients.make_producer(KafkaSettings(bootstrap_servers=willing.bootstrap_servers), "me")
        await clients.start(producer)
        with pytest.raises(KafkaError):
            async with asyncio.timeout(30):
                await producer.partitions_for(topic_names.ticks)
        topics = (await fetch_metadata(producer.client, [topic_names.ticks])).topics()
        await abandon(producer)
        assert topic_names.ticks not in topics
    finally:
        await asyncio.to_thread(willing.close)


async def test_batches_of_one_partition_are_acknowledged_in_order():
    """Batches leave one after another, whether the partition's leader is known yet or not."""
    with EmbeddedKafka({"t": 2}) as kafka:
        producer = clients.make_producer(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), "me")
        await clients.start(producer)
        try:
            offsets = []
            for round_ in range(3):
                answers = []
                for number in (0, 1, 2):
                    batch = producer.create_batch()
                    batch.append(timestamp=1, key=b"k", value=b"%d" % number)
                    batch.close()
                    answers.append(await producer.send_batch(batch, "t", partition=0))
                offsets += [(await answer).offset for answer in answers]
                assert offsets == list(range(3 * (round_ + 1)))
            producer._message_accumulator._exception = KafkaError("the sender ended")
            batch = producer.create_batch()
            batch.append(timestamp=1, key=b"k", value=b"late")
            with pytest.raises(KafkaError, match="the sender ended"):
                await producer.send_batch(batch, "t", partition=1)
        finally:
            await abandon(producer)
