"""Fetches what a URL answers with one GET, within limits of time and size."""

from __future__ import annotations

import ssl

import aiohttp
from yarl import URL

from connector.core.url_secrets import without_secrets
from connector.errors import NotInTime, RequestMalformed

TIMEOUT_SECONDS = 60.0
MAX_BYTES = 32 << 20


async def download(text: str, timeout_seconds: float = TIMEOUT_SECONDS) -> bytes:
    """Return the body at an http or https URL.

    TLS is verified against the system's authorities. Redirects are not followed, because a redirect
    could lead away from TLS.
    Raises RequestMalformed for any other URL and for a body larger than MAX_BYTES. Raises NotInTime
    if the server or the network fails.
    """
    shown = without_secrets(text)
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise RequestMalformed(f"{shown} is neither an http:// or https:// URL with a host nor the path of a file.")
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds)) as client,
            client.get(url, allow_redirects=False, ssl=ssl.create_default_context()) as response,
        ):
            if response.status != 200:
                raise NotInTime(f"{shown} answered HTTP {response.status}{_led_to(response)}.")
            content = bytearray()
            async for chunk in response.content.iter_chunked(1 << 16):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise RequestMalformed(f"{shown} is larger than {MAX_BYTES >> 20} MiB.")
            return bytes(content)
    except UnicodeError:
        raise RequestMalformed(
            f"{shown} does not name a host: a part of its name is empty or longer than 63 characters."
        ) from None
    except TimeoutError:
        raise NotInTime(f"{shown} did not send its whole answer within {timeout_seconds:g} s.") from None
    except (aiohttp.ClientError, OSError) as error:
        raise NotInTime(f"{shown} could not be read: {_cause(error)}") from error


def _cause(error: aiohttp.ClientError | OSError) -> str:
    # aiohttp's own texts contain memory addresses of a connection, and the whole URL of an answer.
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return str(error.certificate_error)
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or str(error.os_error)
        case aiohttp.ClientResponseError():
            return "it did not answer in HTTP"
    return str(error)


def _led_to(response: aiohttp.ClientResponse) -> str:
    target = response.headers.get("Location")
    return (
        f", a redirect to {without_secrets(target)!r}, which is not followed: give that address if you trust it"
        if target
        else ""
    )
