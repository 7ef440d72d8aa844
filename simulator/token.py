"""The REST call that issues access tokens (`POST /oauth2/tokenP`).

The feed needs none, but clients ask for one before they ask for anything else. An access token and
an approval key are unrelated.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from simulator import rest
from simulator.app_keys import AppKeys
from simulator.reply import SEOUL_OFFSET_SECONDS
from simulator.settings import SimulatorSettings

SAME_TOKEN_SECONDS = 6 * 3600


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    issued: float
    asked: float


class TokenCall:
    """Serves `POST /oauth2/tokenP`: the same token for six hours, one call a minute."""

    def __init__(self, settings: SimulatorSettings, app_keys: AppKeys, now: Callable[[], float]) -> None:
        self._settings, self._app_keys, self._now = settings, app_keys, now
        self._tokens: dict[int, _Token] = {}
        self._expired: set[str] = set()
        self.issued = 0

    def refusal_of(self, token: str) -> str | None:
        """Return the EGW code that refuses an access token, or None if the token is in force."""
        if token in self._expired:
            return "EGW00123"
        found = next((each for each in self._tokens.values() if each.text == token), None)
        if found is None:
            return "EGW00121"
        return "EGW00123" if self._now() >= found.issued + self._life_seconds else None

    def expire(self) -> None:
        """End every access token issued so far."""
        self._expired.update(each.text for each in self._tokens.values())
        self._tokens.clear()

    @property
    def _life_seconds(self) -> float:
        return self._settings.token_hours * 3600

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one call as KIS does."""
        number, code = self._app_keys.judge(await rest.fields_of(request), "appsecret")
        if code is not None or number is None:
            return rest.refusal(code or "EGW00103", self._settings.error_shape)
        now, before = self._now(), self._tokens.get(number)
        if before is not None and now - before.asked < self._settings.token_interval_seconds:
            return rest.refusal("EGW00133", self._settings.error_shape)
        same_seconds = min(SAME_TOKEN_SECONDS, self._life_seconds)
        is_same = before is not None and now - before.issued < same_seconds
        token = _Token(before.text, before.issued, now) if before and is_same else _Token(uuid.uuid4().hex, now, now)
        self._tokens[number] = token
        self.issued += not is_same
        expires = token.issued + self._life_seconds
        return rest.answer(
            {
                "access_token": token.text,
                "access_token_token_expired": _seoul_text(expires),
                "token_type": "Bearer",
                "expires_in": int(expires - now),
            }
        )


def _seoul_text(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(when + SEOUL_OFFSET_SECONDS))
