"""A plain KIS client made of aiohttp and websockets, and a wait for conditions."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect


def request_text(approval_key, isin, tr_type="1"):
    """Return a register or release request."""
    header = {"approval_key": approval_key, "custtype": "P", "tr_type": tr_type, "content-type": "utf-8"}
    return json.dumps({"header": header, "body": {"input": {"tr_id": "H0BJCNT0", "tr_key": isin}}})


async def post(url, body):
    """Return status and text of a POST of `body`, bytes or JSON."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=body if isinstance(body, bytes) else json.dumps(body)) as response,
    ):
        return response.status, await response.text()


async def approval_key(kis, appkey="key0", secret="secret0"):
    """Return a new approval key."""
    status, text = await post(
        kis.approval_url, {"grant_type": "client_credentials", "appkey": appkey, "secretkey": secret}
    )
    assert status == 200, text
    return json.loads(text)["approval_key"]


@dataclass
class Client:
    """One WebSocket to the simulator."""

    socket: ClientConnection
    key: str = field(repr=False)

    async def ask(self, isin, tr_type="1"):
        """Return the answer to one request, skipping data frames before it."""
        await self.socket.send(request_text(self.key, isin, tr_type))
        while not (text := await self.receive()).startswith("{"):
            pass
        return json.loads(text)

    async def code(self, isin, tr_type="1"):
        return (await self.ask(isin, tr_type))["body"]["msg_cd"]

    async def receive(self, *, decode=True):
        async with asyncio.timeout(30):
            return await self.socket.recv(decode=decode)


@dataclass
class Joiner:
    """Opens clients, and closes them at the end of the test."""

    clients: list[Client] = field(default_factory=list)

    async def __call__(self, kis, *isins, key=None, path=""):
        key = key or await approval_key(kis)
        client = Client(
            await connect(kis.websocket_url + path, ping_interval=None, compression=None, close_timeout=1), key
        )
        self.clients.append(client)
        for isin in isins:
            assert await client.code(isin) == "OPSP0000"
        return client


@pytest.fixture
async def join():
    """Return a function that opens a session and registers bonds on it."""
    joiner = Joiner()
    yield joiner
    for client in joiner.clients:
        await client.socket.close()


@pytest.fixture
def until():
    """Return a function that waits for a condition, with a deadline."""

    async def wait(condition: Callable[[], object], seconds: float = 60):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def ask_approval():
    """Return the function that asks for an approval key."""
    return approval_key


@pytest.fixture
def post_json():
    """Return the function that posts JSON."""
    return post
