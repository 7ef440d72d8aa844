"""Asks KIS's approval service for WebSocket approval keys, one call after another."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from connector.core.kis import approval_keys
from connector.core.kis.approval import Granted, Refused, Unavailable, read_answer, request_body
from connector.logs import hide_issued, peer_text
from connector.shell.unreachable import explain_unreachable

if TYPE_CHECKING:
    from connector.core.kis.approval import Answer, AppKey
    from connector.shell.proxy import Proxy

TIMEOUT_SECONDS: Final = 10.0
LONGEST_BODY: Final = 64 * 1024
# KIS issues one key a second (notice of 2026-04-20), perhaps one for each app key. The additional
# tenth of a second allows for the network.
SPACING_SECONDS: Final = 1.1
TOO_FAST: Final = "EGW00201"


@dataclass(slots=True)
class _Call:
    at: float
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class ApprovalService:
    """Calls `kis.approval_url`; it logs neither requests nor answers.

    Each call waits for the answer to the previous call, but at most a second. Once KIS has said
    that this is too fast, each call waits the full second. If KIS counts all app keys together,
    many calls at once cost one refusal. If KIS counts each app key by itself, no time is lost. A
    slot that comes back has new keys, but its app key waits a minute after KIS gave the last one.
    """

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS, proxy: Proxy | None = None) -> None:
        self._url = url
        self._proxy = proxy
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._flights: dict[str, asyncio.Future[Answer]] = {}
        self._granted_at: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._latest: _Call | None = None
        self._too_fast = False

    async def request(self, app_key: AppKey) -> Answer:
        """Return KIS's answer. Calls for the same app key share one request. Never raises."""
        if (flight := self._flights.get(app_key.appkey)) is not None:
            return await asyncio.shield(flight)
        flight = self._flights[app_key.appkey] = asyncio.get_running_loop().create_future()
        answer: Answer = Unavailable(None, "The request for an approval key was interrupted")
        try:
            answer = await self._request_in_turn(app_key)
            return answer
        finally:
            del self._flights[app_key.appkey]
            flight.set_result(answer)

    async def _request_in_turn(self, app_key: AppKey) -> Answer:
        granted_at = self._granted_at.get(app_key.appkey, float("-inf"))
        await asyncio.sleep(granted_at + approval_keys.KEY_SPACING_SECONDS - monotonic())
        async with self._turn:
            if self._latest is not None:
                await self._wait_for(self._latest)
            call = self._latest = _Call(monotonic())
        try:
            self._granted_at[app_key.appkey] = monotonic()  # also if nobody waits for the answer any more
            answer = await self._request(app_key)
            self._too_fast |= isinstance(answer, Unavailable) and answer.code == TOO_FAST
            if isinstance(answer, Granted):
                self._granted_at[app_key.appkey] = monotonic()
            else:
                del self._granted_at[app_key.appkey]
            return answer
        finally:
            call.answered.set()

    async def _wait_for(self, before: _Call) -> None:
        due_at = before.at + SPACING_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(due_at - monotonic()):
                await before.answered.wait()
        if self._too_fast:
            await asyncio.sleep(due_at - monotonic())

    async def _request(self, app_key: AppKey) -> Answer:
        try:
            status, body = await self._post(request_body(app_key))
        except TimeoutError:
            through = f" through {self._proxy.name}" if self._proxy else ""
            return Unavailable(
                None, f"CRED_APPROVAL: the approval service did not answer{through} within {self._timeout.total:g} s"
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = await explain_unreachable(
                error,
                URL(self._url),
                address_setting="kis.approval_url",
                authority_setting="this machine's list of authorities",
            )
            return Unavailable(None, f"CRED_APPROVAL: the approval service was out of reach: {cause}")
        if body is None:
            return Unavailable(
                None, f"CRED_APPROVAL: the approval service answered HTTP {status} with more than {LONGEST_BODY} bytes"
            )
        return _without_secrets(read_answer(status, body))

    async def _post(self, body: bytes) -> tuple[int, bytes | None]:
        # A redirect would send the secret to another host. aiohttp reads no environment.
        through = self._proxy.aiohttp_arguments() if self._proxy else {}
        headers = {"content-type": "application/json; charset=utf-8"}
        async with (
            aiohttp.ClientSession(timeout=self._timeout) as client,
            client.post(self._url, data=body, headers=headers, allow_redirects=False, **through) as response,
        ):
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > LONGEST_BODY:
                    return response.status, None
            return response.status, bytes(received)


def _without_secrets(answer: Answer) -> Answer:
    """Hide a new approval key, and return an answer whose texts may be shown."""
    match answer:
        case Granted(approval_key):
            hide_issued(approval_key, kind="approval key")
            return answer
        case Refused(code, message):
            return Refused(peer_text(code), peer_text(message))
        case Unavailable(code, message):
            return Unavailable(code and peer_text(code), peer_text(message))
