"""Bounds the open connections, so that HTTP clients leave enough descriptors to the feed."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from connector.shell.http.bad_requests import RequestLog

if TYPE_CHECKING:
    import asyncio

# The endpoints use at most a quarter of the descriptors. KIS, Kafka and the journal need the rest.
SHARE: Final = 4


def affordable(wanted: int) -> int:
    """Return how many connections the process may hold, at most `wanted`."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if descriptors == resource.RLIM_INFINITY else max(1, min(wanted, descriptors // SHARE))


class Connections:
    """At most `limit` open connections: a new one replaces the one that has been idle longest.

    If no connection is idle, the one with the oldest request is closed, and its answer is lost.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[asyncio.Transport, None] = {}  # in the order of their last use

    def add(self, transport: asyncio.Transport) -> None:
        """Make room for a new connection."""
        while len(self._open) >= self._limit:
            self._close_one()
        self._open[transport] = None

    def use(self, transport: asyncio.Transport) -> None:
        """Record that a request came in."""
        if transport in self._open:
            del self._open[transport]
            self._open[transport] = None

    def remove(self, transport: asyncio.Transport) -> None:
        """Record that a connection is closed."""
        self._open.pop(transport, None)

    def _close_one(self) -> None:
        idle = (each for each in self._open if not each.get_write_buffer_size())
        victim = next(idle, None) or next(iter(self._open))
        del self._open[victim]
        victim.abort()


class Connection(web.RequestHandler):
    """One client's connection, counted among the open ones."""

    __slots__ = ("_connections", "_counted")

    def __init__(
        self, connections: Connections, server: web.Server, loop: asyncio.AbstractEventLoop, **options: float
    ) -> None:
        # aiohttp annotates a Logger for both, of which it only calls a few methods.
        super().__init__(server, loop=loop, logger=RequestLog(), access_log=None, **options)  # type: ignore[arg-type]
        self._connections = connections
        self._counted: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        self._counted = cast("asyncio.Transport", transport)
        self._connections.add(self._counted)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        if self._counted is not None:
            self._connections.remove(self._counted)
        super().connection_lost(exc)
