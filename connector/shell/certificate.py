"""Explains why a server's certificate was refused: whose it is, and what is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
from typing import Final

from cryptography import x509

from connector.core.printable import printable
from connector.logs import clean
from connector.shell.tcp import open_transport

LOOK_SECONDS: Final = 2.0
MAX_NAMES: Final = 10
LONGEST_NAME: Final = 200
# OpenSSL's codes.
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64


async def explain_refusal(
    host: str, port: int, error: ssl.SSLCertVerificationError, *, address_setting: str, authority_setting: str
) -> str:
    """Return a sentence that says why the server's certificate was refused.

    The sentence may name two settings: the one with the server's address, and the one with the
    trusted authority.
    """
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    encoded = await certificate_of(host, port)
    if encoded is None:
        return f"the certificate of {at} is refused: {error.verify_message}"
    certificate = x509.load_der_x509_certificate(encoded)
    whose = f"the certificate of {at} (for {', '.join(_names(certificate)) or 'no name'})"
    match error.verify_code:
        case code if code == _EXPIRED:
            return f"{whose} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        case code if code == _NOT_YET_VALID:
            return f"{whose} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        case code if code in {_OTHER_HOST, _OTHER_ADDRESS}:
            return f"{whose} does not name {host}: use a name it has in {address_setting}"
        case _:
            issuer = _shown(certificate.issuer.rfc4514_string())
            return f"{whose} is signed by {issuer}, which {authority_setting} does not trust ({error.verify_message})"


async def certificate_of(host: str, port: int) -> bytes | None:
    """Return a server's certificate as DER, or None if the server does not speak TLS."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(LOOK_SECONDS):
            transport, _ = await open_transport(_Ignoring, host, port, _any_certificate())
            encoded: bytes | None = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            transport.abort()
            return encoded
    return None


class _Ignoring(asyncio.Protocol):
    """Reads nothing of what the server sends after the handshake."""


@functools.cache
def _any_certificate() -> ssl.SSLContext:
    """Return a context that accepts every certificate, because we only read it.

    There is one for the whole process, without authorities: a context with the system's authorities
    takes megabytes, and an absent peer is looked at several times a second.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _names(certificate: x509.Certificate) -> list[str]:
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [_shown(str(name.value)) for name in list(found)[:MAX_NAMES]]
    return [_shown(certificate.subject.rfc4514_string())]


def _shown(text: str) -> str:
    return printable(clean(text, LONGEST_NAME))
