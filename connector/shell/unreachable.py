"""Explains why a server at a URL could not be reached: its host and port, and the cause."""

import errno
import socket
import ssl
from typing import Final

import aiohttp
from websockets.exceptions import InvalidMessage, InvalidURI
from yarl import URL

from connector.core.printable import printable
from connector.logs import clean
from connector.shell.certificate import explain_refusal
from connector.shell.proxy import ProxyFailed, refusal

LONGEST_TEXT: Final = 200
OTHER_SCHEME: Final = {"http": "https", "https": "http", "ws": "wss", "wss": "ws"}


async def explain_unreachable(error: Exception, url: URL, *, address_setting: str, authority_setting: str) -> str:
    """Return a sentence that says why aiohttp, websockets or TCP got no answer, and what to check.

    The sentence may name the setting with the server's address, and where trusted authorities are.
    """
    host, port, other = str(url.host), url.port or 443, OTHER_SCHEME[url.scheme]
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if through := _explain_proxy(error, at):
        return through
    uses_tls = url.scheme in {"https", "wss"}
    match _bare(error):
        case socket.gaierror() | aiohttp.ClientConnectorDNSError():
            text = f"the host name {host} is unknown: correct {address_setting}, or the name service"
        case ssl.SSLCertVerificationError() as refused:
            text = await explain_refusal(
                host, port, refused, address_setting=address_setting, authority_setting=authority_setting
            )
        case ssl.SSLError(reason=str(reason)) if "ALERT" in reason or reason == "UNSUPPORTED_PROTOCOL":
            text = f"the TLS handshake with {at} failed: {reason}"
        case ssl.SSLError() if uses_tls:
            text = f"{at} does not speak TLS: use {other}:// or its TLS port in {address_setting}"
        case OSError(errno=errno.ECONNREFUSED):
            text = f"{at} refused the connection: nothing listens there"
        case ConnectionResetError() | OSError(errno=errno.ECONNRESET) | EOFError() | aiohttp.ServerDisconnectedError():
            text = f"{at} closed the connection: use {other}:// if it {'has no' if uses_tls else 'speaks'} TLS"
        # The own texts of aiohttp's error and of InvalidURI hold the whole URL, with a query that
        # may be secret.
        case aiohttp.ClientResponseError() | InvalidMessage():
            remedy = f"correct {address_setting}" if uses_tls else f"use {other}:// if it speaks TLS"
            text = f"{at} did not answer in HTTP: {remedy}"
        case InvalidURI(msg=mistake):
            text = f"{address_setting} cannot be used: {mistake}"
        case bare:
            said = getattr(bare, "strerror", None) or str(bare) or type(bare).__name__
            text = f"{at}: {printable(clean(said, LONGEST_TEXT))}"
    return text


def _explain_proxy(error: Exception, at: str) -> str | None:
    """Return why a proxy made no connection, or None if the error is none of a proxy."""
    match error:
        case ProxyFailed():
            return str(error)
        case aiohttp.ClientHttpProxyError():
            return refusal(f"on the way to {at}", error.status)
        case aiohttp.ClientProxyConnectionError():
            said = error.strerror or type(error.os_error).__name__
            return f"the proxy at {error.host}:{error.port} (kis.proxy_url) could not be reached: {said}"
        case _:
            return None


def _bare(error: BaseException) -> BaseException:
    """Return the error of the operating system or of TLS that a library's error wraps, if any."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return error
        case aiohttp.ClientConnectorCertificateError():
            return error.certificate_error
        case aiohttp.ClientConnectorError():
            return error.os_error
        case InvalidMessage(__cause__=EOFError() as cause):
            return cause
        case _:
            return error
