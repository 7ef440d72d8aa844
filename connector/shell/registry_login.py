"""Logs in at the schema registry: with a password, a token or a client certificate."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import aiohttp

from connector import small_file
from connector.logs import hide
from connector.settings.secret_files import MAX_PEM_BYTES
from connector.shell.last_good import read_or_last_good
from connector.shell.oauth import source_of

if TYPE_CHECKING:
    from pathlib import Path

    from connector.settings import RegistrySettings


def files_of(settings: RegistrySettings) -> list[Path]:
    """Return the files that a request reads."""
    files = (
        settings.password_file,
        settings.token_file,
        settings.ca_file,
        settings.certificate_file,
        settings.key_file,
    )
    return [path for path in files if path is not None]


# What a registry's files last held, by their paths. All parts of this process share it.
_last_good: Final[dict[tuple[Path | None, ...], ssl.SSLContext]] = {}


def tls_of(settings: RegistrySettings) -> ssl.SSLContext:
    """Return whom to trust and what to show; if a file is unusable, what the files held before.

    Raises OSError and ValueError if they were never usable.
    """
    files = (settings.ca_file, settings.certificate_file, settings.key_file)
    try:
        _last_good[files] = context = _context(settings)
    except (OSError, ValueError):
        if files not in _last_good:
            raise
        return _last_good[files]
    return context


def _context(settings: RegistrySettings) -> ssl.SSLContext:
    for path in (settings.ca_file, settings.certificate_file, settings.key_file):
        if path:  # OpenSSL would wait for ever for the end of a pipe
            small_file.read(path, MAX_PEM_BYTES)
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.certificate_file is not None:
        # Without a password, OpenSSL would ask the terminal for one.
        context.load_cert_chain(settings.certificate_file, settings.key_file, password=lambda: "")
    return context


async def authorization(settings: RegistrySettings) -> dict[str, str]:
    """Return the header of the login, none without one; the logs hide it from then on.

    Raises OSError if a file could never be read, and NoAccessToken.
    """
    if settings.oauth_token_url is not None:
        return {"Authorization": f"Bearer {await source_of(settings, 'registry').token()}"}
    if settings.token_file is not None:
        token = read_or_last_good(settings.token_file)
        hide(token)
        return {"Authorization": f"Bearer {token}"}
    if settings.username is None:
        return {}
    password = read_or_last_good(settings.password_file) if settings.password_file else ""
    given = aiohttp.encode_basic_auth(settings.username, password, encoding="utf-8")
    hide(password, given.removeprefix("Basic "))
    return {"Authorization": given}


def refused(settings: RegistrySettings) -> bool:
    """Get a new token for the next request, because the registry refused this one.

    Return False if there is no other login to try.
    """
    return settings.oauth_token_url is not None and source_of(settings, "registry").forget()
