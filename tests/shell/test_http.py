"""The endpoints show what they observe, and nothing else."""

import asyncio
import socket

import aiohttp
import pytest

from connector.errors import ConfigurationError
from connector.packaged_files import page_file
from connector.settings import HttpSettings
from connector.shell.http import HttpServer


class Observed:
    """A connector to observe."""

    alive = True
    reasons: tuple[str, ...] = ()
    degraded = ("slot 1 is BLOCKED: OPSP8996 ALREADY IN USE appkey",)

    def is_alive(self):
        """Return what the test sets."""
        return self.alive

    def readiness(self):
        """Return what the test sets."""
        return list(self.reasons), list(self.degraded)

    def status(self):
        """Return something."""
        return {"name": "국고"}

    def metrics(self):
        """Return one metric."""
        return b"kis_bond_build_info 1.0\n"


@pytest.fixture
async def server():
    """Return a server on any free port."""
    one = HttpServer(HttpSettings(port=0), Observed())
    await one.start()
    yield one
    await one.stop()


async def ask(server, path, method="GET"):
    """Return status and body of one request."""
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, f"http://127.0.0.1:{server.port}{path}") as answer,
    ):
        return answer.status, await (answer.json() if answer.content_type == "application/json" else answer.text())


async def test_liveness_and_readiness_are_apart(server):
    """For a live connector that is not ready: 200, and 503 with the reasons."""
    server._observed.reasons = ("topic bond.ticks is missing",)
    assert await ask(server, "/livez") == (200, {"alive": True})
    expected = {"ready": False, "reasons": ["topic bond.ticks is missing"], "degraded": list(Observed.degraded)}
    assert await ask(server, "/readyz") == (503, expected)
    server._observed.reasons = ()
    assert (await ask(server, "/readyz"))[0] == 200
    server._observed.alive = False
    assert await ask(server, "/livez") == (503, {"alive": False})


async def test_metrics_and_status_are_served(server):
    """Metrics have the Prometheus text format; the status is JSON."""
    assert await ask(server, "/metrics") == (200, "kis_bond_build_info 1.0\n")
    assert await ask(server, "/status") == (200, {"name": "국고"})


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/readyz"), ("GET", "/none"), ("DELETE", "/metrics"), ("GET", "/" + "x" * 5000)]
)
async def test_anything_else_is_refused(server, method, path):
    """Other methods, other paths and very long lines get a 4xx."""
    assert 400 <= (await ask(server, path, method))[0] < 500


@pytest.mark.parametrize(
    ("path", "content_type"), [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
)
async def test_the_page_and_its_files_are_served(server, path, content_type):
    """The page and its files have their content types, in UTF-8."""
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{server.port}{path}") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"{content_type}; charset=utf-8")
        assert await answer.text() == page_file(path.removeprefix("/") or "index.html")


@pytest.mark.parametrize("path", ["/", "/page.js", "/status", "/metrics", "/none"])
async def test_every_answer_is_protected(server, path):
    """Headers forbid caching, sniffing, framing, and loading anything from other servers."""
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{server.port}{path}") as answer:
        headers = answer.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy == {
        **dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'"),
        **dict.fromkeys(("script-src", "style-src", "connect-src"), "'self'"),
        "img-src": "data:",
    }


async def test_a_slow_client_delays_no_other(server):
    """A client that never ends its request does not delay the answers to others."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HT")
    await writer.drain()
    assert (await ask(server, "/metrics"))[0] == 200
    writer.close()
    del reader


async def test_a_taken_port_is_a_configuration_error():
    """The message names the setting and the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"http\.port: 127\.0\.0\.1:{port}"):
            await HttpServer(HttpSettings(port=port), Observed()).start()
