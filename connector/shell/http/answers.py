"""Bounds what large answers cost: the loop's time to make them, and memory until they are read."""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping

# At most this share of the loop's time goes into making one kind of answer.
MAKING_SHARE: Final = 0.1
PIECE_BYTES: Final = 64 * 1024
# A step of making JSON encodes about so many characters, this many members of an object at a time.
STEP_CHARACTERS: Final = 256 * 1024
STEP_MEMBERS: Final = 5
READ_SECONDS: Final = 10.0  # how long a client may take to read an answer of several pieces


class Reused:
    """An answer that is given again for a while, because making it takes the loop's time.

    The slower it is to make, the longer it is given again.
    """

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._body = b""
        self._due_at = 0.0

    async def body(self) -> bytes:
        """Return the last answer, or a new one if the last is old enough to be replaced."""
        async with self._making:
            began = monotonic()
            if began >= self._due_at:
                self._body = await self._make()
                ended = monotonic()
                self._due_at = ended + (ended - began) / MAKING_SHARE
        return self._body


def json_in_steps(document: Mapping[str, Any]) -> Generator[None, None, bytes]:
    """Return an object as JSON; members that are objects may have any number of members."""
    parts = []
    size = 0
    for text in _members(document):
        parts.append(text)
        size += len(text)
        if size >= STEP_CHARACTERS:
            size = 0
            yield
    return "".join(("{", *parts, "}")).encode()


def _members(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the JSON between the braces of an object, in pieces."""
    for place, (name, value) in enumerate(document.items()):
        yield f"{', ' if place else ''}{json.dumps(name)}: "
        if not isinstance(value, dict):
            yield json.dumps(value)
            continue
        yield "{"
        for first, piece in enumerate(_pieces(value.items())):
            yield (", " if first else "") + json.dumps(piece)[1:-1]
        yield "}"


def _pieces(items: Iterable[tuple[str, Any]]) -> Iterator[dict[str, Any]]:
    rest = iter(items)
    while piece := dict(islice(rest, STEP_MEMBERS)):
        yield piece


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
