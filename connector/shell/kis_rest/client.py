"""Asks KIS's REST calls: paced, with bounded answers, and with a token renewed at its end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
from yarl import URL

from connector.core.kis.access_token import owner_mark, read_token, request_body
from connector.core.kis.quotations import (
    BONDS,
    CCNL,
    PATH,
    PRICE,
    TOKEN_ENDED,
    TOO_FAST,
    Failed,
    read_answer,
    read_trades,
    read_volume,
)
from connector.errors import ConfigurationError
from connector.logs import hide_issued, peer_text
from connector.shell.kis_rest.token_file import TokenFile
from connector.shell.unreachable import explain_unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.core.kis.access_token import AccessToken
    from connector.core.kis.approval import AppKey
    from connector.core.kis.quotations import Call, ReportedTrade
    from connector.settings import AuditSettings
    from connector.shell.proxy import Proxy

TIMEOUT_SECONDS: Final = 10.0
LONGEST_BODY: Final = 512 * 1024
ATTEMPTS: Final = 4  # of one call, while KIS says that it came too fast
TOO_FAST_SECONDS: Final = 1.0
TOKEN_SPACING_SECONDS: Final = 61.0  # KIS issues one token a minute at most
Answer = TypeVar("Answer")

CONTENT_TYPE: Final = "application/json; charset=utf-8"


class RestClient:
    """Asks `audit.rest_url` with one app key.

    `calls` counts calls by outcome: `ok`, `too_fast`, KIS's code, or `failed`. `problem` says why
    the latest call failed. No method raises; none logs requests or answers.
    """

    def __init__(
        self,
        audit: AuditSettings,
        customer_type: str,
        read_app_key: Callable[[], AppKey],
        timeout_seconds: float = TIMEOUT_SECONDS,
        proxy: Proxy | None = None,
    ) -> None:
        self._proxy = proxy
        self._url = audit.rest_url
        self._interval = 1 / audit.rest_per_second
        self._customer_type = customer_type
        self._read_app_key = read_app_key
        self._token_file = TokenFile(audit.token_path)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._turn = asyncio.Lock()
        self._next_at = 0.0
        self._token: AccessToken | None = None
        self._token_asked_at = float("-inf")
        self.calls: dict[str, int] = {}
        self.problem: str | None = None

    async def sign_in(self) -> Failed | None:
        """Make sure of an access token. Return why there is none, or None if there is one."""
        token = await self._usable_token()
        return token if isinstance(token, Failed) else None

    async def volume(self, isin: str) -> int | Failed:
        """Return the bond's volume of the day so far (`inquire-price`)."""
        fields = await self._inquire(PRICE, isin)
        return self._note(fields if isinstance(fields, Failed) else read_volume(fields, isin))

    async def trades(self, isin: str) -> list[ReportedTrade] | Failed:
        """Return the bond's latest trades (`inquire-ccnl`)."""
        fields = await self._inquire(CCNL, isin)
        return self._note(fields if isinstance(fields, Failed) else read_trades(fields))

    async def _inquire(self, call: Call, isin: str) -> dict[str, Any] | Failed:
        """Return the answer's fields. A call that came too fast is repeated a few times."""
        answer: dict[str, Any] | Failed = Failed(None, "REST_FAILED: not asked")
        is_token_new = False
        for _ in range(ATTEMPTS):
            token = await self._usable_token()
            if isinstance(token, Failed):
                return token
            app_key, text = token
            headers = {
                "authorization": f"Bearer {text}",
                "appkey": app_key.appkey,
                "appsecret": app_key.appsecret,
                "tr_id": call.tr_id,
                "custtype": self._customer_type,
            }
            query = {"FID_COND_MRKT_DIV_CODE": BONDS, "FID_INPUT_ISCD": isin}
            answer = await self._ask("GET", URL(f"{self._url}{PATH}/{call.name}").with_query(query), headers)
            if not isinstance(answer, Failed):
                return answer
            if answer.code == TOO_FAST:
                self._count(TOO_FAST)
                self._next_at = time.monotonic() + TOO_FAST_SECONDS
            elif answer.code in TOKEN_ENDED and not is_token_new:
                self._token, is_token_new = None, True
            else:
                break
        return answer

    async def _usable_token(self) -> tuple[AppKey, str] | Failed:
        """Return the app key and a token for it: the one in use, the file's, or a new one."""
        try:
            app_key = self._read_app_key()
        except ConfigurationError as error:
            return Failed(None, error.problems[0])
        owner, now = owner_mark(app_key, self._url), time.time()
        if self._token is None and self._token_asked_at == float("-inf"):
            self._token = self._token_file.read()
        if self._token is None or not self._token.is_usable(owner, now):
            wait = self._token_asked_at + TOKEN_SPACING_SECONDS - time.monotonic()
            if wait > 0:
                return Failed(None, f"REST_TOKEN: KIS gives one access token a minute: the next in {wait:.0f} s")
            self._token_asked_at = time.monotonic()
            answer = await self._ask("POST", URL(f"{self._url}/oauth2/tokenP"), {}, request_body(app_key))
            if isinstance(answer, Failed):
                return answer
            self._token = read_token(answer, owner, now)
            if self._token is None:
                return Failed(None, "REST_TOKEN: KIS answered the token call without a usable token")
            hide_issued(self._token.text, kind="access token")
            self._token_file.write(self._token)
        hide_issued(self._token.text, kind="access token")
        return app_key, self._token.text

    async def _ask(
        self, method: str, url: URL, headers: dict[str, str], body: bytes | None = None
    ) -> dict[str, Any] | Failed:
        await self._wait_for_turn()
        try:
            status, content = await self._exchange(method, url, headers, body)
        except TimeoutError:
            return Failed(None, f"REST_TIMEOUT: KIS did not answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = await explain_unreachable(
                error,
                url,
                address_setting="audit.rest_url",
                authority_setting="this machine's list of authorities",
            )
            return Failed(None, f"REST_UNREACHABLE: KIS's REST calls were out of reach: {cause}")
        if content is None:
            return Failed(None, f"REST_ANSWER: KIS answered HTTP {status} with more than {LONGEST_BODY} bytes")
        answer = read_answer(status, content)
        if isinstance(answer, Failed):
            return Failed(answer.code and peer_text(answer.code), peer_text(answer.message))
        return answer

    async def _wait_for_turn(self) -> None:
        async with self._turn:
            await asyncio.sleep(self._next_at - time.monotonic())
            self._next_at = time.monotonic() + self._interval

    async def _exchange(
        self, method: str, url: URL, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes | None]:
        # A redirect would send the secret to another host. aiohttp reads no environment.
        through = self._proxy.aiohttp_arguments() if self._proxy else {}
        async with (
            aiohttp.ClientSession(timeout=self._timeout, headers={"content-type": CONTENT_TYPE}) as client,
            client.request(method, url, data=body, headers=headers, allow_redirects=False, **through) as response,
        ):
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > LONGEST_BODY:
                    return response.status, None
            return response.status, bytes(received)

    def _note(self, answer: Answer) -> Answer:
        self.problem = answer.message if isinstance(answer, Failed) else None
        if not isinstance(answer, Failed):
            self._count("ok")
        elif answer.code != TOO_FAST:
            self._count(answer.code or "failed")
        return answer

    def _count(self, outcome: str) -> None:
        self.calls[outcome] = self.calls.get(outcome, 0) + 1
