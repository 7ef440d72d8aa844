"""Reads the TLS and password files of Kafka's clients, and names what is wrong with each."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from connector import small_file
from connector.errors import ConfigurationError
from connector.logs import hide
from connector.settings.secret_files import MAX_PEM_BYTES, NotOneLine, read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from connector.settings import KafkaSettings

_AUTHORITY: Final = "put the certificates of the brokers' authority into it, as PEM"
_PUBLIC: Final = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo


def file_problems(kafka: KafkaSettings) -> list[str]:
    """Return what is wrong with the files that clients with these settings read."""
    found: list[str] = []
    for read in (read_password, load_context, require_package):
        try:
            read(kafka)
        except ConfigurationError as error:
            found += error.problems
    return found


def read_password(kafka: KafkaSettings) -> str | None:
    """Return the password of the login, or None without a login. The logs hide it from then on.

    Raises ConfigurationError, which names the setting and the file.
    """
    if not kafka.security_protocol.startswith("SASL") or kafka.sasl_password_file is None:
        return None
    return _secret("kafka.sasl_password_file", kafka.sasl_password_file)


def require_package(kafka: KafkaSettings) -> None:
    """Raise ConfigurationError if the login needs a package that is not installed."""
    if kafka.sasl_mechanism != "GSSAPI":
        return
    try:
        import gssapi  # noqa: F401, PLC0415 - only some installations have it
    except ImportError as error:
        raise ConfigurationError(
            [f"kafka.sasl_mechanism: GSSAPI needs a package ({error}): install kis-bond-connector[gssapi]"]
        ) from None


def load_context(kafka: KafkaSettings) -> ssl.SSLContext | None:
    """Return what TLS needs, or None without TLS. The logs hide the key's password from then on.

    Raises ConfigurationError, which names each setting with an unusable file.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return None
    problems: list[str] = []
    try:
        context = ssl.create_default_context() if kafka.ssl_ca_file is None else _trusting(kafka.ssl_ca_file)
    except ConfigurationError as error:
        problems += error.problems
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the client's pair is tried all the same
    if kafka.ssl_certificate_file is not None and kafka.ssl_key_file is not None:
        try:
            _load_pair(context, kafka.ssl_certificate_file, kafka.ssl_key_file, kafka.ssl_key_password_file)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return context


def _trusting(authorities: Path) -> ssl.SSLContext:
    name = "kafka.ssl_ca_file"
    _pem(name, authorities, _AUTHORITY)
    try:
        return ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError):
        raise ConfigurationError([f"{name}: {authorities} holds no certificate: {_AUTHORITY}"]) from None


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path, password_file: Path | None) -> None:
    """Load a certificate and its key into the context."""
    problems: list[str] = []
    password: str | None = None
    certified = owned = None
    try:
        certified = _certified(certificate)
    except ConfigurationError as error:
        problems += error.problems
    try:
        password = None if password_file is None else _secret("kafka.ssl_key_password_file", password_file)
        owned = _owned(key, password, password_file)
    except ConfigurationError as error:
        problems += error.problems
    if certified is not None and owned is not None and certified.public_bytes(*_PUBLIC) != owned.public_bytes(*_PUBLIC):
        problems.append(
            f"kafka.ssl_key_file: {key} does not belong to the certificate in {certificate}:"
            " give the two files of one pair in kafka.ssl_key_file and kafka.ssl_certificate_file"
        )
    if problems:
        raise ConfigurationError(problems)
    try:
        # Without a password, OpenSSL would ask the terminal for one.
        context.load_cert_chain(certificate, key, password=lambda: password or "")
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise ConfigurationError(
            [f"kafka.ssl_certificate_file: {certificate} and the key {key} could not be used: {reason}"]
        ) from None


def _certified(certificate: Path) -> CertificatePublicKeyTypes | None:
    """Return the public key of a certificate, or None if only OpenSSL may know its kind."""
    name, remedy = "kafka.ssl_certificate_file", "put the client's certificate into it, as PEM"
    pem = _pem(name, certificate, remedy)
    try:
        return x509.load_pem_x509_certificate(pem).public_key()
    except UnsupportedAlgorithm:
        return None
    except ValueError:
        raise ConfigurationError([f"{name}: {certificate} holds no certificate: {remedy}"]) from None


def _owned(key: Path, password: str | None, password_file: Path | None) -> CertificatePublicKeyTypes | None:
    """Return the public half of a private key, or None if only OpenSSL may know its kind."""
    name, remedy = "kafka.ssl_key_file", "put the client's private key into it, as PEM"
    pem = _pem(name, key, remedy)
    is_encrypted = b"ENCRYPTED" in pem
    if is_encrypted and password is None:
        raise ConfigurationError(
            [f"{name}: {key} is encrypted: set kafka.ssl_key_password_file to a file with its password"]
        )
    try:
        loaded = serialization.load_pem_private_key(
            pem,
            password.encode() if password and is_encrypted else None,
            # To check 4,096 bits of RSA takes half a second; a broken key fails to connect.
            unsafe_skip_rsa_key_validation=True,
        )
        return loaded.public_key()  # type: ignore[return-value]  # a key that no certificate has is no pair
    except UnsupportedAlgorithm:
        return None
    except (ValueError, TypeError):
        if is_encrypted:
            problem = f"kafka.ssl_key_password_file: {password_file} does not hold the password of the key {key}"
            raise ConfigurationError([f"{problem}: write the right one into it"]) from None
        raise ConfigurationError([f"{name}: {key} holds no private key: {remedy}"]) from None


def _pem(name: str, path: Path, remedy: str) -> bytes:
    try:
        content = small_file.read(path, MAX_PEM_BYTES)
    except OSError as error:
        raise ConfigurationError(
            [f"{name}: {path} could not be read ({error.strerror}): correct the path or its permissions"]
        ) from None
    if not content.strip():
        raise ConfigurationError([f"{name}: {path} is empty: {remedy}"])
    return content


def _secret(name: str, path: Path) -> str:
    try:
        text = read_secret(path)
    except NotOneLine as error:
        raise ConfigurationError(
            [f"{name}: {path} {error.strerror}: write nothing but the password into it, as one line"]
        ) from None
    except OSError as error:
        raise ConfigurationError(
            [f"{name}: {path} could not be read ({error.strerror}): correct the path or its permissions"]
        ) from None
    if not text:
        raise ConfigurationError([f"{name}: {path} is empty: write the password into it"])
    hide(text)
    return text
