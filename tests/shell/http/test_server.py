"""The endpoints answer what they are told to show, and nothing else."""

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from connector.errors import ConfigurationError
from connector.packaged_files import page_file
from connector.settings import HttpSettings
from connector.shell.http import HttpServer


class Observed:
    """A connector to look at."""

    alive = True
    reasons: tuple[str, ...] = ()
    degraded = ("slot 1 is BLOCKED: OPSP8996 ALREADY IN USE appkey",)

    def is_alive(self):
        """Tell what the test says."""
        return self.alive

    def readiness(self):
        """Return what the test says."""
        return list(self.reasons), list(self.degraded)

    async def status(self):
        """Return something."""
        return {"name": "국고"}

    async def metrics(self):
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
    """A connector that is alive and not ready is 200 and 503, the reasons in the body."""
    server._observed.reasons = ("topic bond.ticks is missing",)
    assert await ask(server, "/livez") == (200, {"alive": True})
    expected = {"ready": False, "reasons": ["topic bond.ticks is missing"], "degraded": list(Observed.degraded)}
    assert await ask(server, "/readyz") == (503, expected)
    server._observed.reasons = ()
    assert (await ask(server, "/readyz"))[0] == 200
    server._observed.alive = False
    assert await ask(server, "/livez") == (503, {"alive": False})


async def test_metrics_and_status_are_served(server):
    """Prometheus gets its text format, everybody else JSON."""
    assert await ask(server, "/metrics") == (200, "kis_bond_build_info 1.0\n")
    assert await ask(server, "/status") == (200, {"name": "국고"})


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/readyz"), ("GET", "/none"), ("DELETE", "/metrics"), ("GET", "/" + "x" * 5000)]
)
async def test_anything_else_is_refused(server, method, path):
    """Other methods, paths and very long lines are answered 4xx."""
    assert 400 <= (await ask(server, path, method))[0] < 500


@pytest.mark.parametrize(
    ("path", "content_type"), [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
)
async def test_the_page_and_its_files_are_served(server, path, content_type):
    """The page is UTF-8 and comes as what it is."""
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{server.port}{path}") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, f"{content_type}; charset=utf-8")
        assert await answer.text() == page_file(path.removeprefix("/") or "index.html")


@pytest.mark.parametrize("path", ["/", "/page.js", "/status", "/metrics", "/none"])
async def test_every_answer_is_protected(server, path):
    """Answers are not cached or embedded, and the page may only load from its own server."""
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


async def test_a_slow_client_holds_up_nobody(server):
    """A client that never ends its request does not keep others from being answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HT")
    await writer.drain()
    assert (await ask(server, "/metrics"))[0] == 200
    writer.close()
    del reader


async def test_a_taken_port_is_a_configuration_error():
    """The message names the setting and the address, and gives the reason once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"http\.port: 127\.0\.0\.1:{port}") as refused:
            await HttpServer(HttpSettings(port=port), Observed()).start()
    expected = f"http.port: 127.0.0.1:{port} could not be bound: Address already in use: choose another"
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("nowhere.invalid", "the name nowhere.invalid does not resolve: correct it"),
        ("192.0.2.1", "192.0.2.1 is not an address of this machine: give one that is"),
    ],
)
async def test_a_mistaken_host_is_named_as_the_host(host, problem):
    """The port is not blamed for an unknown name or another machine's address."""
    with pytest.raises(ConfigurationError) as refused:
        await HttpServer(HttpSettings(host=host, port=0), Observed()).start()
    assert str(refused.value) == f"http.host: {problem}"


@contextlib.asynccontextmanager
async def serving(**settings):
    """Give a running server with these settings."""
    server = HttpServer(HttpSettings(port=0, **settings), Observed())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def status_for(server, path, *hosts, address="127.0.0.1"):
    """Return the status of a request with these Host headers."""
    reader, writer = await asyncio.open_connection(address, server.port)
    lines = [f"GET {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return int(answer.split(b" ")[1])


@pytest.mark.parametrize("path", ["/", "/page.js", "/status", "/metrics"])
async def test_a_rebound_name_reads_nothing_from_a_laptop(server, path):
    """Bound to the loopback, only the machine's own names are answered."""
    assert await status_for(server, path, "evil.example") == 421
    assert await status_for(server, path, f"evil.example:{server.port}") == 421
    assert await status_for(server, path) in {400, 421}
    assert await status_for(server, path, "localhost", "evil.example") in {400, 421}
    for own in ("localhost", f"127.0.0.1:{server.port}", "[::1]"):
        assert await status_for(server, path, own) == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_are_answered_whatever_their_host(server, path):
    """A probe's Host is not looked at."""
    assert await status_for(server, path, "evil.example") == 200


async def test_a_refused_host_is_not_repeated_and_protected(server):
    """The refusal says what to do, quotes nothing, and has the headers of every answer."""
    url = f"http://127.0.0.1:{server.port}/status"
    async with aiohttp.ClientSession() as client, client.get(url, headers={"Host": "<b>evil"}) as answer:
        assert answer.status == 421
        assert "evil" not in await answer.text()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_other_binds_answer_the_allowed_hosts():
    """By default that is any; with `http.allowed_hosts` it is those and the machine's own."""
    async with serving(host="0.0.0.0") as server:
        assert await status_for(server, "/status", "any.example") == 200
    async with serving(host="0.0.0.0", allowed_hosts="status.example,other.example") as server:
        assert await status_for(server, "/status", "status.example") == 200
        assert await status_for(server, "/status", f"127.0.0.1:{server.port}") == 200
        assert await status_for(server, "/status", "any.example") == 421
    async with serving(allowed_hosts=["status.example"]) as server:
        assert await status_for(server, "/status", "status.example:443") == 200


async def test_two_colons_answer_both_families():
    """Bound to "::", the endpoints answer over IPv4 as over IPv6."""
    async with serving(host="::") as server:
        assert await status_for(server, "/livez", "x", address="127.0.0.1") == 200
        assert await status_for(server, "/status", "any.example", address="127.0.0.1") == 200
        if _has_ipv6():
            assert await status_for(server, "/livez", "x", address="::1") == 200


async def test_a_name_with_two_addresses_is_bound_on_one_port():
    """With port 0 each address of the name gets the same free port."""
    async with serving(host="localhost") as server:
        assert await status_for(server, "/status", "localhost") == 200
        found = await asyncio.get_running_loop().getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
        for address in {info[4][0] for info in found}:
            if address == "127.0.0.1" or _has_ipv6():
                assert await status_for(server, "/livez", "x", address=address) == 200


def _has_ipv6():
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "127.0.0.2", None])
async def test_the_images_health_check_reaches_each_kind_of_host(host):
    """The Dockerfile's check asks at `http.host`, and at the loopback if that is any address."""
    dockerfile = (Path(__file__).parents[3] / "Dockerfile").read_text()
    command = json.loads(re.search(r"HEALTHCHECK .*\n\s+CMD (\[.*\])", dockerfile)[1])
    async with serving(**({} if host is None else {"host": host})) as server:
        environment = {**os.environ, "KIS_BOND_HTTP__PORT": str(server.port)}
        environment |= {} if host is None else {"KIS_BOND_HTTP__HOST": host}
        check = await asyncio.create_subprocess_exec(
            sys.executable, *command[1:], env=environment, stdout=subprocess.DEVNULL
        )
        assert await asyncio.wait_for(check.wait(), 30) == 0
    check = await asyncio.create_subprocess_exec(
        sys.executable, *command[1:], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert await asyncio.wait_for(check.wait(), 30) != 0
