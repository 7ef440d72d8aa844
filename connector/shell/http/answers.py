"""Bounds what large answers cost: the loop's time to make them, and memory until they are read."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

# At most this share of the loop's time goes into making one kind of answer.
MAKING_SHARE: Final = 0.1
PIECE_BYTES: Final = 64 * 1024
READ_SECONDS: Final = 10.0  # how long a client may take to read an answer of several pieces


class Reused:
    """An answer that is given again for a while, because making it takes the loop's time.

    The slower it is to make, the longer it is given again.
    """

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._body = b""
        self._due_at = 0.0

    def body(self) -> bytes:
        """Return the last answer, or a new one if the last is old enough to be replaced."""
        began = monotonic()
        if began >= self._due_at:
            self._body = self._make()
            ended = monotonic()
            self._due_at = ended + (ended - began) / MAKING_SHARE
        return self._body


async def send(request: web.Request, body: bytes, content_type: str) -> web.StreamResponse:
    """Send a body in small pieces, and give up on a client that stops reading."""
    headers = {"Content-Type": content_type}
    if request.method == "HEAD" or len(body) <= PIECE_BYTES:
        return web.Response(body=body, headers=headers)
    response = web.StreamResponse(headers=headers | {"Content-Length": str(len(body))})
    await response.prepare(request)
    try:
        async with asyncio.timeout(READ_SECONDS):
            for start in range(0, len(body), PIECE_BYTES):
                await response.write(body[start : start + PIECE_BYTES])
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response
