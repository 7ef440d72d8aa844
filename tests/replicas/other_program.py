"""Another program that uses an app key of ours: it takes the app key's one session."""

import asyncio
import json
from types import TracebackType
from typing import Self

import aiohttp

from simulator import Simulator


class OtherProgram:
    """Holds the session of app key 0 for as long as the block lasts."""

    def __init__(self, kis: Simulator) -> None:
        self._kis = kis
        self._client = aiohttp.ClientSession()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Get an approval key and connect; KIS gives the session to whoever registers first."""
        pair = {"grant_type": "client_credentials", "appkey": "test-appkey-0", "secretkey": "test-appsecret-0"}
        async with self._client.post(self._kis.approval_url, json=pair) as answer:
            self._key = (await answer.json(content_type=None))["approval_key"]
        self._socket = await self._client.ws_connect(self._kis.websocket_url)
        return self

    async def take(self, isin: str) -> None:
        """Register a bond, which takes the session."""
        header = {"approval_key": self._key, "custtype": "P", "tr_type": "1", "content-type": "utf-8"}
        body = {"input": {"tr_id": "H0BJCNT0", "tr_key": isin}}
        await self._socket.send_str(json.dumps({"header": header, "body": body}))
        while "OPSP0000" not in await self._socket.receive_str():
            pass
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            text = await self._socket.receive_str()
            if "PINGPONG" in text:
                await self._socket.send_str(text)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection, which gives the session back."""
        if self._reading is not None:
            self._reading.cancel()
        await self._socket.close()
        await self._client.close()
