"""Answers `/livez`, `/readyz`, `/metrics`, `/status` and, with the page that shows it, `/`."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from aiohttp import web

from connector.core.allowed_hosts import AnsweredHosts, answered_hosts
from connector.errors import ConfigurationError
from connector.packaged_files import CONTENT_TYPES, INDEX, page_file
from connector.shell.http.answers import Reused, json_in_steps, send
from connector.shell.http.connections import Connection, Connections, affordable
from connector.shell.kafka.waiting import in_turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler

    from connector.settings import HttpSettings

TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
JSON: Final = "application/json; charset=utf-8"
LONGEST_LINE: Final = 2048
PENDING: Final = 1024  # connections that wait in the kernel; others try again after a second
# Connections accepted in one turn of the loop. More at once could close a connection before we
# have read its request.
ACCEPTED_A_TURN: Final = 8
ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # the machine does not have the address
# Answered for any Host: they tell little, and probes send various Hosts.
PROBES: Final = ("/livez", "/readyz")
# Longer than the usual scrape interval of a minute, so that scrapers can reuse a connection.
IDLE_SECONDS: Final = 75.0
# The page loads only its own files and /status. Its icon is a data: URL in the page.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PROTECTION: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PortInUse(ConfigurationError):
    """Another process listens on the port; it may be a running connector."""


async def try_to_bind(settings: HttpSettings) -> None:
    """Bind the port for a moment. Raises ConfigurationError as `HttpServer.start` would."""
    for each in await _bind(settings.host, settings.port):
        each.close()


class Observed(Protocol):
    """What the endpoints show. No method waits for another party."""

    def is_alive(self) -> bool:
        """Whether the process itself works, whatever the state of Kafka or KIS."""
        ...

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return why the connector is not ready, and what does not work because of KIS."""
        ...

    async def status(self) -> dict[str, Any]:
        """Return the whole status, as JSON values."""
        ...

    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus's text format."""
        ...


class HttpServer:
    """The endpoints on `http.host` and `http.port`.

    `port` is the port bound. A connection idle for `idle_seconds` is closed.
    """

    def __init__(self, settings: HttpSettings, observed: Observed, idle_seconds: float = IDLE_SECONDS) -> None:
        self._settings = settings
        self._observed = observed
        self._idle_seconds = idle_seconds
        self._connections = Connections(affordable(settings.max_connections))
        self._hosts = AnsweredHosts(frozenset())
        self._metrics_text = Reused(self._make_metrics)
        self._status_json = Reused(self._make_status)
        self._runner = web.AppRunner(self._application(), handle_signals=False, shutdown_timeout=1)
        self._servers: list[asyncio.Server] = []
        self.port = settings.port

    async def start(self) -> None:
        """Bind the port. Raises ConfigurationError if that is not possible."""
        sockets = await _bind(self._settings.host, self._settings.port)
        self.port = sockets[0].getsockname()[1]
        self._hosts = answered_hosts(self._settings.allowed_hosts, [each.getsockname()[0] for each in sockets])
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        connect = partial(
            Connection,
            self._connections,
            cast("web.Server", self._runner.server),
            loop,
            max_line_size=LONGEST_LINE,
            keepalive_timeout=self._idle_seconds,
        )
        for each in sockets:
            self._servers.append(await loop.create_server(connect, sock=each, backlog=ACCEPTED_A_TURN))
            # `backlog` also limits how many connections may wait. We let more wait.
            each.listen(PENDING)

    async def stop(self) -> None:
        """Stop answering."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._admit])
        application.on_response_prepare.append(_protect)
        for name, content_type in CONTENT_TYPES.items():
            application.router.add_get("/" if name == INDEX else f"/{name}", _page(page_file(name), content_type))
        application.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/status", self._status),
            ]
        )
        return application

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request whose Host is not one of ours, unless it is a probe."""
        transport = request.transport
        if transport is None:
            raise web.HTTPBadRequest
        self._connections.use(transport)
        hosts = request.headers.getall("Host", [])
        own_address = transport.get_extra_info("sockname")[0]
        if request.path in PROBES or (len(hosts) <= 1 and self._hosts.include("".join(hosts), own_address)):
            return await handler(request)
        raise web.HTTPMisdirectedRequest(text="This Host is not answered: add it to http.allowed_hosts.\n")

    async def _livez(self, _: web.Request) -> web.Response:
        alive = self._observed.is_alive()
        return web.json_response({"alive": alive}, status=200 if alive else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons, degraded = self._observed.readiness()
        return web.json_response(
            {"ready": not reasons, "reasons": reasons, "degraded": degraded}, status=503 if reasons else 200
        )

    async def _make_metrics(self) -> bytes:
        return await self._observed.metrics()

    async def _make_status(self) -> bytes:
        return await in_turns(json_in_steps(await self._observed.status()))

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return await send(request, await self._metrics_text.body(), TEXT_FORMAT)

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return await send(request, await self._status_json.body(), JSON)


def _page(text: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type, charset="utf-8")

    return answer


async def _protect(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(PROTECTION)


async def _bind(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of the host; "::" is one socket for both families.

    An address that this machine does not have is left out if another address can be bound. Raises
    ConfigurationError if none can, or if the host is unknown or the port is taken.
    """
    try:
        return await _sockets(host, port)
    except OSError as error:
        raise _unbound(host, port, error) from error


async def _sockets(host: str, port: int) -> list[socket.socket]:
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    problem: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(infos):
        try:
            sockets.append(_listen(family, (*address[:1], port, *address[2:])))
        except OSError as error:
            problem = error
            if error.errno not in ABSENT:
                break
        else:
            # With port 0, all addresses get the port of the first one.
            port = sockets[0].getsockname()[1]
    if problem is not None and (not sockets or problem.errno not in ABSENT):
        for each in sockets:
            each.close()
        raise problem
    return sockets


def _unbound(host: str, port: int, error: OSError) -> ConfigurationError:
    if isinstance(error, socket.gaierror):
        return ConfigurationError([f"http.host: the name {host} does not resolve: correct it"])
    if error.errno in ABSENT:
        return ConfigurationError([f"http.host: {host} is not an address of this machine: give one that is"])
    # The error's own text repeats the address.
    reason = os.strerror(error.errno) if error.errno else str(error)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    kind = PortInUse if error.errno == errno.EADDRINUSE else ConfigurationError
    return kind([f"http.port: {where} could not be bound: {reason}: choose another"])


def _listen(family: int, address: tuple[Any, ...]) -> socket.socket:
    both = family == socket.AF_INET6 and address[0] == "::"
    return socket.create_server(address, family=family, backlog=PENDING, dualstack_ipv6=both)
