"""Logs aiokafka's clients in with access tokens.

Importing the module changes aiokafka, of which the pinned version is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator

if TYPE_CHECKING:
    from connector.shell.access_token import TokenSource

_step: Final[Any] = OAuthAuthenticator.step


class TokenProvider(AbstractTokenProvider):
    """Gives aiokafka the token for each login."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        """Return a token. Raises NoAccessToken."""
        return await self._source.token()

    def refused(self) -> None:
        """Note that a broker refused the token."""
        self._source.forget()


async def _step_or_hear_refusal(login: Any, answer: bytes | None) -> Any:
    """Return what to send next, or None at the end of the login.

    A broker that refuses a token first says why, and reports the refusal only after one more
    message (RFC 7628, 3.2.3). aiokafka takes its first answer for a success.
    """
    if answer and login._token_sent and not hasattr(login, "heard"):  # noqa: SLF001 - no public way
        login.heard = True
        login._sasl_oauth_token_provider.refused()  # noqa: SLF001 - no public way
        return b"\x01", True
    return await _step(login, answer)


OAuthAuthenticator.step = _step_or_hear_refusal  # type: ignore[method-assign]
