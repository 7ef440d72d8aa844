"""Asks KIS's approval service for WebSocket approval keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import aiohttp

from connector.core.approval import Granted, Refused, Unavailable, read_answer, request_body

if TYPE_CHECKING:
    from connector.core.approval import Answer, AppKey

TIMEOUT_SECONDS: Final = 10.0
LONGEST_BODY: Final = 64 * 1024


class ApprovalService:
    """One `kis.approval_url`. Neither requests nor answers are logged."""

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._flights: dict[str, asyncio.Future[Answer]] = {}

    async def request(self, app_key: AppKey) -> Answer:
        """Return KIS's answer. Whoever asks for an app key while a request for it is on its way shares that request. Never raises."""
        if (flight := self._flights.get(app_key.appkey)) is not None:
            return await asyncio.shield(flight)
        flight = self._flights[app_key.appkey] = asyncio.get_running_loop().create_future()
        answer: Answer = Unavailable(None, "The request for an approval key was interrupted")
        try:
            answer = await self._request(app_key)
            return answer
        finally:
            del self._flights[app_key.appkey]
            flight.set_result(answer)

    async def _request(self, app_key: AppKey) -> Answer:
        try:
            status, body = await self._post(request_body(app_key))
        except TimeoutError:
            return Unavailable(None, f"CRED_APPROVAL: the approval service did not answer within {self._timeout.total:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unavailable(None, f"CRED_APPROVAL: the approval service was out of reach: {type(error).__name__}")
        if body is None:
            return Unavailable(None, f"CRED_APPROVAL: the approval service answered HTTP {status} with more than {LONGEST_BODY} bytes")
        return _without_secrets(read_answer(status, body), app_key)

    async def _post(self, body: bytes) -> tuple[int, bytes | None]:
        # A redirect would carry the secret elsewhere; proxies and .netrc of the environment (trust_env) stay out of it by default.
        headers = {"content-type": "application/json; charset=utf-8"}
        async with (
            aiohttp.ClientSession(timeout=self._timeout) as client,
            client.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > LONGEST_BODY:
                    return response.status, None
            return response.status, bytes(received)


def _without_secrets(answer: Answer, app_key: AppKey) -> Answer:
    """Drop a message that quotes what was sent: it is shown in logs and on the status topic."""
    if isinstance(answer, Granted) or not any(secret in answer.message for secret in (app_key.appkey, app_key.appsecret)):
        return answer
    words = "The approval service quoted the app key in its message"
    return replace(answer, message=words) if isinstance(answer, Refused) else Unavailable(answer.code, words)
