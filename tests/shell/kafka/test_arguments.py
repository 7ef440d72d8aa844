"""Kafka's clients get our settings."""

import ssl
import sys
from pathlib import Path
from types import ModuleType

import pytest
from structlog.testing import capture_logs

from connector.errors import ConfigurationError
from connector.logs import clean
from connector.settings import KafkaSettings
from connector.shell.kafka import arguments as module
from connector.shell.kafka.arguments import client_arguments, librdkafka_arguments
from connector.shell.kafka.token_login import TokenProvider
from tests.security.certificates import Authority


def test_a_password_file_is_read_for_each_client_without_its_newline(tmp_path):
    """The next client uses a rotated password; a trailing newline is trimmed, blanks are not."""
    password = tmp_path / "password"
    password.write_text("first\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="bond", sasl_password_file=password
    )
    arguments = client_arguments(kafka, "me")
    assert (arguments["sasl_plain_password"], arguments["sasl_plain_username"], arguments["client_id"]) == (
        "first",
        "bond",
        "me",
    )
    password.write_text("second \r\n")
    assert client_arguments(kafka, "me")["sasl_plain_password"] == "second "


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("")], ids=["vanished", "empty"])
def test_the_last_good_password_replaces_a_file_that_became_unreadable(tmp_path, spoil):
    """If a password file becomes unreadable, its last password is used and the log names it."""
    password = tmp_path / "password"
    password.write_text("canary\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="bond", sasl_password_file=password
    )
    client_arguments(kafka, "me")
    spoil(password)
    with capture_logs() as logs:
        assert client_arguments(kafka, "me")["sasl_plain_password"] == "canary"
    (alarm,) = logs
    assert str(password) in str(alarm["problems"])
    assert "canary" not in str(alarm)
    module._last_good.clear()
    with pytest.raises(ConfigurationError, match="password"):
        client_arguments(kafka, "me")


def test_the_last_good_certificate_replaces_a_file_that_became_unreadable(tmp_path):
    """The context made from good files is used while they are garbage."""
    authority = Authority(tmp_path).ca
    kafka = KafkaSettings(security_protocol="SSL", ssl_ca_file=authority)
    before = client_arguments(kafka, "me")["ssl_context"]
    authority.write_text("garbage")
    assert client_arguments(kafka, "me")["ssl_context"] is before


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
    client_arguments(kafka, "me")
    assert "canary" not in clean("tried with canary passphrase after canary of a login")


def test_brokers_are_verified_by_name_and_certificate():
    """TLS always checks host and certificate."""
    context = client_arguments(KafkaSettings(security_protocol="SSL"), "me")["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_an_unusable_certificate_names_the_setting(tmp_path):
    """A file without a certificate is a configuration error, not a connection that fails."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"kafka\.ssl"):
        client_arguments(KafkaSettings(security_protocol="SSL", ssl_ca_file=broken), "me")


def test_a_login_with_tokens_has_no_password(tmp_path):
    """Aiokafka and librdkafka get a function that gives the token, and no user name."""
    (tmp_path / "secret").write_text("canary\n")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url="https://127.0.0.1:1/token",
        oauth_client_id="bond",
        oauth_client_secret_file=tmp_path / "secret",
    )
    given = client_arguments(kafka, "me")
    assert isinstance(given["sasl_oauth_token_provider"], TokenProvider)
    assert not [name for name in given if name.startswith("sasl_plain")]
    found = librdkafka_arguments(kafka, "me")
    assert found["sasl.mechanism"] == "OAUTHBEARER"
    with pytest.raises(OSError, match="OAUTH_UNREACHABLE"):
        found["oauth_cb"](None)


def test_librdkafka_gets_the_same_settings(tmp_path):
    """TLS and SASL settings get librdkafka's names, and a password loses its newline."""
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "ca.pem").write_text("")
    kafka = KafkaSettings(
        bootstrap_servers="a:1,b:2",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password_file=tmp_path / "password",
        ssl_ca_file=tmp_path / "ca.pem",
    )
    assert librdkafka_arguments(kafka, "client") == {
        "bootstrap.servers": "a:1,b:2",
        "client.id": "client",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "secret",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
    }


def test_a_login_with_a_keytab_needs_a_package(tmp_path, monkeypatch):
    """Without it, the error names the extra; librdkafka gets principal and keytab, too."""
    (tmp_path / "keytab").write_bytes(b"\x05\x02")
    kafka = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="GSSAPI",
        gssapi_principal="me@R",
        gssapi_keytab_file=tmp_path / "keytab",
    )
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with pytest.raises(ConfigurationError, match=r"install kis-bond-connector\[gssapi\]"):
        client_arguments(kafka, "me")
    monkeypatch.setitem(sys.modules, "gssapi", ModuleType("gssapi"))
    assert client_arguments(kafka, "me")["sasl_plain_username"] == "me@R"
    found = librdkafka_arguments(kafka, "me")
    assert {name: value for name, value in found.items() if name.startswith("sasl.")} == {
        "sasl.mechanism": "GSSAPI",
        "sasl.kerberos.service.name": "kafka",
        "sasl.kerberos.principal": "me@R",
        "sasl.kerberos.keytab": str(tmp_path / "keytab"),
    }
