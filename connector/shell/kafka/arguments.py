"""Turns our settings into the arguments of Kafka clients: aiokafka's and librdkafka's."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import structlog

from connector.errors import ConfigurationError
from connector.settings.secret_files import read_secret
from connector.shell.kafka.credential_files import load_context, read_password, require_package
from connector.shell.kafka.kerberos_login import login_arguments
from connector.shell.kafka.token_login import TokenProvider
from connector.shell.oauth import new_source, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from connector.settings import KafkaSettings

REQUEST_TIMEOUT_MS: Final = 5_000  # how long a frozen broker delays a request
# librdkafka asks its callback for a token's end; it asks again after 80 % of the time until then.
CALLBACK_SECONDS: Final = 60

T = TypeVar("T")

log = structlog.get_logger("connector.kafka_client")

# The last good content of each credential file. The whole process shares it. Each new client reads
# the files again, and no client may fail because a file has become unreadable.
_last_good: dict[Hashable, Any] = {}


def client_arguments(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return the arguments of any aiokafka client; read password and certificate files again.

    From then on the logs hide the passwords and passphrases. If a file has become unreadable, its
    last good content is used and the log says so. If a file could never be read, this raises
    ConfigurationError, which names the file.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": client_id,
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": 100,
        "metadata_max_age_ms": 60_000,
    }
    if kafka.security_protocol.endswith("SSL"):
        files = (kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file, kafka.ssl_key_password_file)
        arguments["ssl_context"] = _read_or_last_good(("kafka.ssl_*", *files), lambda: load_context(kafka))
    if kafka.security_protocol.startswith("SASL"):
        arguments |= {"sasl_mechanism": kafka.sasl_mechanism} | _login(kafka)
    return arguments


def _login(kafka: KafkaSettings) -> dict[str, Any]:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return {"sasl_oauth_token_provider": TokenProvider(source_of(kafka, "kafka"))}
    if kafka.sasl_mechanism == "GSSAPI":
        require_package(kafka)
        return login_arguments(kafka)
    files = ("kafka.sasl_password_file", kafka.sasl_password_file)
    return {
        "sasl_plain_username": kafka.sasl_username,
        "sasl_plain_password": _read_or_last_good(files, lambda: read_password(kafka)),
    }


def librdkafka_arguments(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return our settings under librdkafka's names; settings without a value are left out.

    Raises ConfigurationError or OSError if a file with a password cannot be read.
    """
    arguments: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "client.id": client_id,
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": read_password(kafka),
        "ssl.ca.location": kafka.ssl_ca_file and str(kafka.ssl_ca_file),
        "ssl.certificate.location": kafka.ssl_certificate_file and str(kafka.ssl_certificate_file),
        "ssl.key.location": kafka.ssl_key_file and str(kafka.ssl_key_file),
        "ssl.key.password": kafka.ssl_key_password_file and read_secret(kafka.ssl_key_password_file),
    }
    if kafka.sasl_mechanism == "GSSAPI":
        arguments["sasl.kerberos.service.name"] = kafka.gssapi_service_name
        arguments["sasl.kerberos.principal"] = kafka.gssapi_principal
        arguments["sasl.kerberos.keytab"] = str(kafka.gssapi_keytab_file)
    if kafka.sasl_mechanism == "OAUTHBEARER":
        # librdkafka calls from a thread of its own, so it has a source of its own.
        source = new_source(kafka, "kafka")
        arguments["oauth_cb"] = lambda _: (asyncio.run(source.token()), time.time() + CALLBACK_SECONDS)
    return {name: value for name, value in arguments.items() if value is not None}


def _read_or_last_good(files: Hashable, read: Callable[[], T]) -> T:
    """Return `read()`, or its last good result if the files can no longer be read.

    Raises ConfigurationError if the files could never be read.
    """
    try:
        _last_good[files] = value = read()
    except ConfigurationError as error:
        if files not in _last_good:
            raise
        log.warning("credentials_unreadable", problems=error.problems, used="what was read before")
        return cast("T", _last_good[files])
    return value
