"""Answers `/livez`, `/readyz`, `/metrics`, `/status` and, with the page that shows it, `/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from connector.errors import ConfigurationError
from connector.packaged_files import CONTENT_TYPES, INDEX, page_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from connector.settings import HttpSettings

TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_LINE: Final = 2048
IDLE_SECONDS: Final = 75.0  # over a minute, the usual scrape interval: a scraper's connection is reused
# The page loads its own files and /status, nothing else; its icon is a data: URL in the page.
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


class Observed(Protocol):
    """What the endpoints show; no method waits."""

    def is_alive(self) -> bool:
        """Whether the process itself works, whatever the state of Kafka or KIS."""
        ...

    def readiness(self) -> tuple[list[str], list[str]]:
        """Return the reasons not to be ready, and what is degraded on KIS's side."""
        ...

    def status(self) -> dict[str, Any]:
        """Return the whole status, as JSON values."""
        ...

    def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        ...


class HttpServer:
    """The endpoints on `http.host` and `http.port`.

    `port` is the port bound. A connection idle for `idle_seconds` is closed.
    """

    def __init__(self, settings: HttpSettings, observed: Observed, idle_seconds: float = IDLE_SECONDS) -> None:
        self._settings = settings
        self._observed = observed
        self._runner = web.AppRunner(
            self._application(),
            access_log=None,
            handle_signals=False,
            max_line_size=LONGEST_LINE,
            keepalive_timeout=idle_seconds,
            shutdown_timeout=1,
        )
        self.port = settings.port

    async def start(self) -> None:
        """Bind the port.

        Raises ConfigurationError if it is taken or the host is not an address of this machine.
        """
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self._settings.host}:{self._settings.port}"
            raise ConfigurationError(
                [f"http.port: {where} could not be bound: {error.strerror or error}: choose another"]
            ) from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop answering."""
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
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

    async def _livez(self, _: web.Request) -> web.Response:
        alive = self._observed.is_alive()
        return web.json_response({"alive": alive}, status=200 if alive else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons, degraded = self._observed.readiness()
        return web.json_response(
            {"ready": not reasons, "reasons": reasons, "degraded": degraded}, status=503 if reasons else 200
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._observed.metrics(), headers={"Content-Type": TEXT_FORMAT})

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(self._observed.status())


def _page(text: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type, charset="utf-8")

    return answer


async def _protect(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(PROTECTION)
