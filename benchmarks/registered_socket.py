"""A WebSocket with every bond registered, for the pipelines that are not the connector."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.day import isins


@asynccontextmanager
async def registered_socket(url: str, bonds: int) -> AsyncIterator[ClientConnection]:
    """Give the socket once the replies have been read; the ticks come next."""
    async with connect(url, ping_interval=None, compression=None, max_size=2**20) as socket:
        header = {"approval_key": "x", "custtype": "P", "tr_type": "1", "content-type": "utf-8"}
        for isin in isins(bonds):
            await socket.send(json.dumps({"header": header, "body": {"input": {"tr_id": "H0BJCNT0", "tr_key": isin}}}))
        for _ in range(bonds):
            await socket.recv()
        yield socket
