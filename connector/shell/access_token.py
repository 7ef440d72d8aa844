"""Keeps one access token, and replaces it in time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from connector.logs import hide_issued

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.core.oauth import BearerToken

# After a failure, the next request waits this long: several clients ask at once, and each again.
RETRY_SECONDS: Final = 2.0
KEEP_REFUSED_SECONDS: Final = 10.0

log = structlog.get_logger("connector.oauth")


class NoAccessToken(OSError):
    """There is no token; the text is a sentence that says why."""


class TokenSource:
    """Keeps the token that `ask` returns. `section` is where its settings are, such as `kafka`.

    A token is used until 80 % of its life, and then replaced. While `ask` raises NoAccessToken, the
    old one is used to its end. `ask` gets the time of the monotonic clock.
    """

    def __init__(self, ask: Callable[[float], Awaitable[BearerToken]], section: str) -> None:
        self._ask = ask
        self._section = section
        self._turn = asyncio.Lock()
        self._token: BearerToken | None = None
        self._failure: NoAccessToken | None = None
        self._ask_again_at = self._asked_at = float("-inf")

    async def token(self) -> str:
        """Return a token that is valid now. Raises NoAccessToken."""
        async with self._turn:
            now = time.monotonic()
            if (self._token is None or now >= self._token.refresh_at) and now >= self._ask_again_at:
                await self._replace(now)
            if self._token is not None and time.monotonic() < self._token.ends:
                return self._token.text
            raise NoAccessToken(str(self._failure or "OAUTH_ANSWER: the token ended before it could be used"))

    async def _replace(self, now: float) -> None:
        self._asked_at = now
        try:
            self._token, self._failure = await self._ask(now), None
        except NoAccessToken as failure:
            self._failure, self._ask_again_at = failure, time.monotonic() + RETRY_SECONDS
            log.warning("no_access_token", section=self._section, error=str(failure))
        else:
            hide_issued(self._token.text, kind=f"{self._section} access token")

    def forget(self) -> bool:
        """Ask for a new token at the next login, because a peer refused this one.

        The provider may have changed its keys. A token that is refused while it is new is not
        replaced for some seconds, because another one would be refused too: then return False.
        While the provider gives no new token, the refused one is still used: another peer may take
        it.
        """
        now = time.monotonic()
        if self._token is None or now < self._asked_at + KEEP_REFUSED_SECONDS:
            return False
        self._token = replace(self._token, refresh_at=now)
        return True
