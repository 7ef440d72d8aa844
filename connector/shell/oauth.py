"""Gives each client of this process that logs in with tokens its token source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connector.settings import KafkaSettings
from connector.shell.access_token import TokenSource
from connector.shell.client_credentials import ClientCredentials
from connector.shell.msk_iam import MskIam

if TYPE_CHECKING:
    from connector.settings import OauthSettings

# All clients that log in alike share one source, and so one token.
_sources: Final[dict[str, TokenSource]] = {}


def source_of(settings: OauthSettings, section: str) -> TokenSource:
    """Return the token source of this client, the same for the same settings."""
    given = {name: str(value) for name, value in settings if name.startswith("oauth_")}
    return _sources.setdefault(f"{section} {sorted(given.items())}", new_source(settings, section))


def new_source(settings: OauthSettings, section: str) -> TokenSource:
    """Return a token source of its own. `section` is where the settings are, such as `kafka`."""
    if isinstance(settings, KafkaSettings) and settings.oauth_provider == "msk_iam":
        return TokenSource(MskIam(settings.bootstrap_servers).ask, section)
    return TokenSource(ClientCredentials(settings, section).ask, section)
