"""KIS is reached through a proxy on a real socket."""

import asyncio
import base64
import contextlib
import json

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidStatus

from connector.core.kis.approval import Granted, Unavailable
from connector.logs import clean
from connector.settings import AuditSettings, KisSettings
from connector.shell.kis.approval import ApprovalService
from connector.shell.kis.credentials import AppKey
from connector.shell.kis.socket import open_socket, why_not_open
from connector.shell.kis_rest.client import RestClient
from connector.shell.proxy import LONGEST_ANSWER, Proxy, ProxyFailed
from tests.kafka.process import free_ports

APP_KEY = AppKey("key0", "secret0")


class TestProxy:
    """Connects as CONNECT asks, or gives `answer`; plain requests get the JSON of `content`."""

    __test__ = False

    def __init__(self):
        self.heads = []
        self.answer = None
        self.content = {}

    async def serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            if self.answer is not None:
                writer.write(self.answer)
            elif head.startswith("CONNECT "):
                host, _, port = head.split()[1].rpartition(":")
                peer_reader, peer = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\nVia: a test\r\n\r\n")
                await asyncio.gather(copy(reader, peer), copy(peer_reader, writer))
            else:
                body = json.dumps(self.content).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
        writer.close()


async def copy(reader, writer):
    """Pass bytes on to their end."""
    while received := await reader.read(65_536):
        writer.write(received)
    writer.close()


@pytest.fixture
async def proxy():
    """Give a proxy that runs."""
    running = TestProxy()
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield running
    server.close()


@pytest.fixture
def login(tmp_path):
    """Give a user, the file of the password, and the header that carries both."""
    path = tmp_path / "password"
    path.write_text("canary:pass\n")
    return {"username": "me", "password_file": path}, base64.b64encode(b"me:canary:pass").decode()


async def test_a_websocket_through_the_proxy(proxy, login):
    """The proxy is asked to connect to KIS, with user and password, and frames pass both ways."""

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    given, header = login
    async with serve(echo, "127.0.0.1", 0) as kis:
        port = kis.sockets[0].getsockname()[1]
        socket = await open_socket(f"ws://127.0.0.1:{port}/", Proxy(proxy.url, **given))
        assert await socket.send_at_once("hello")
        assert await socket.receive() == [(False, b"hello")]
        await socket.close()
    (head,) = proxy.heads
    assert head.splitlines()[0] == f"CONNECT 127.0.0.1:{port} HTTP/1.1"
    assert f"Proxy-Authorization: Basic {header}" in head
    assert "canary" not in clean(f"canary:pass {head}")


async def test_the_approval_call_through_the_proxy(proxy, login):
    """The approval service is asked through the proxy, with user and password."""
    given, header = login
    proxy.content = {"approval_key": "a-b-c"}
    service = ApprovalService("http://kis.invalid:9443/oauth2/Approval", proxy=Proxy(proxy.url, **given))
    assert await service.request(APP_KEY) == Granted("a-b-c")
    (head,) = proxy.heads
    assert head.startswith("POST http://kis.invalid:9443/oauth2/Approval HTTP/1.1")
    assert f"Proxy-Authorization: Basic {header}" in head


async def test_the_rest_calls_through_the_proxy(proxy, tmp_path):
    """The auditor's calls go through the proxy too."""
    proxy.content = {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
    audit = AuditSettings(rest_url="http://kis.invalid", token_path=tmp_path / "token")
    assert await RestClient(audit, "P", lambda: APP_KEY, proxy=Proxy(proxy.url)).sign_in() is None
    assert proxy.heads[0].startswith("POST http://kis.invalid/oauth2/tokenP HTTP/1.1")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP 407: check kis.proxy_username"),
        (b"HTTP/1.1 403 Filtered\r\n\r\n", "HTTP 403: let it connect"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP 502: the proxy may not reach KIS"),
        (b"SSH-2.0-x\r\n\r\n", "did not answer in HTTP: correct kis.proxy_url"),
        (b"", "did not answer in HTTP"),
        (b"HTTP/1.1 2" + b"x" * 2 * LONGEST_ANSWER, "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * LONGEST_ANSWER, "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 403 Filtered\n", "HTTP 403: let it connect"),
    ],
    ids=["login", "filter", "gateway", "ssh", "nothing", "endless", "endless header", "half a head", "half a refusal"],
)
async def test_a_proxy_that_does_not_connect_us(proxy, answer, problem):
    """The sentence names the proxy, its answer, and what to check."""
    proxy.answer = answer
    with pytest.raises(ProxyFailed, match=problem) as failed:
        await open_socket("ws://127.0.0.1:1/", Proxy(proxy.url))
    _, message = await why_not_open(failed.value, "ws://127.0.0.1:1/")
    assert proxy.url in message


async def test_an_approval_service_behind_a_proxy_that_refuses(proxy):
    """A refusal of CONNECT is told as the proxy's."""
    proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    answer = await ApprovalService("https://127.0.0.1:1/oauth2/Approval", proxy=Proxy(proxy.url)).request(APP_KEY)
    assert isinstance(answer, Unavailable)
    assert "answered HTTP 407: check kis.proxy_username" in answer.message


async def test_a_proxy_that_says_nothing(monkeypatch):
    """It is given up in time and named, because KIS may be well."""
    monkeypatch.setattr("connector.shell.kis.socket.OPEN_TIMEOUT_SECONDS", 0.2)
    ended = asyncio.Event()

    async def be_silent(_, writer):
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(be_silent, "127.0.0.1", 0)
    silent = Proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(ProxyFailed) as failed:
        await open_socket("ws://127.0.0.1:1/", silent)
    assert str(failed.value) == f"the proxy {silent.url} (kis.proxy_url) made no connection within 0.2 s"
    answer = await ApprovalService("https://127.0.0.1:1/oauth2/Approval", 0.2, silent).request(APP_KEY)
    assert f"did not answer through the proxy {silent.url} (kis.proxy_url) within 0.2 s" in answer.message
    ended.set()
    server.close()


async def test_a_proxy_that_is_away():
    """A closed port and an unreadable password file are told as the proxy's."""
    (port,) = free_ports(1)
    away = Proxy(f"http://127.0.0.1:{port}")
    with pytest.raises(ProxyFailed, match=rf"127\.0\.0\.1:{port} \(kis\.proxy_url\) could not be reached"):
        await away.open_tunnel("127.0.0.1", 1)
    answer = await ApprovalService("https://127.0.0.1:1/oauth2/Approval", proxy=away).request(APP_KEY)
    assert f"the proxy at 127.0.0.1:{port} (kis.proxy_url) could not be reached" in answer.message


async def test_a_password_file_that_vanished(proxy, login):
    """A session that ends meanwhile comes back with the password from before."""
    given, header = login
    proxy.answer = b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
    through = Proxy(proxy.url, **given)
    for _ in range(2):
        with pytest.raises(ProxyFailed, match="HTTP 502"):
            await through.open_tunnel("127.0.0.1", 1)
        given["password_file"].unlink(missing_ok=True)
    assert [f"Proxy-Authorization: Basic {header}" in head for head in proxy.heads] == [True, True]


async def test_a_password_file_that_could_never_be_read(tmp_path):
    """The failure names the file."""
    proxy = Proxy("http://127.0.0.1:1", "me", tmp_path / "gone")
    answer = await ApprovalService("https://127.0.0.1:1/oauth2/Approval", proxy=proxy).request(APP_KEY)
    assert "kis.proxy_password_file" in answer.message
    with pytest.raises(ProxyFailed, match=r"kis\.proxy_password_file: .*gone could not be read"):
        await proxy.open_tunnel("127.0.0.1", 1)


async def test_the_environments_proxies_get_no_connection(proxy, monkeypatch, tmp_path):
    """Approval, REST and WebSocket go straight to KIS, whatever the environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy", "socks_proxy"):
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv(name.upper(), proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    asked = []

    async def answer(reader, writer):
        asked.append((await reader.readline()).split()[1])
        writer.write(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await ApprovalService(f"http://{host}/oauth2/Approval").request(APP_KEY)
    await RestClient(
        AuditSettings(rest_url=f"http://{host}", token_path=tmp_path / "t"), "P", lambda: APP_KEY
    ).sign_in()
    with pytest.raises(InvalidStatus):
        await open_socket(f"ws://{host}/")
    server.close()
    assert asked == [b"/oauth2/Approval", b"/oauth2/tokenP", b"/"]
    assert proxy.heads == []


def test_without_the_setting_there_is_no_proxy(monkeypatch, tmp_path):
    """Only `kis.proxy_url` makes a proxy, whatever the environment holds."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert Proxy.of(KisSettings()) is None
    (tmp_path / "p").write_text("x")
    kis = KisSettings(proxy_url="http://p:3128/", proxy_username="u", proxy_password_file=tmp_path / "p")
    assert Proxy.of(kis) == Proxy("http://p:3128", "u", tmp_path / "p")
