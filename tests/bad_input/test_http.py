"""Bad-input matrix, HTTP: a bad client gets 4xx or a closed connection; no other waits."""

import asyncio
import json
import logging

import pytest
import structlog

from connector import logs
from connector.settings import HttpSettings, LogSettings
from connector.shell.http import HttpServer
from tests.shell.http.test_server import Observed, ask

REQUESTS = {
    "POST": b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    "POST to the page": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    "DELETE": b"DELETE /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TRACE": b"TRACE /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "method never seen": b"BREW /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "path never seen": b"GET /metric HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "path of parents": b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "encoded path of parents": b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "path of 100 kilobytes": b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 100_000),
    "query of 100 kilobytes": b"GET /status?%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"x" * 100_000),
    "file beside the page's": b"GET /page.js/../../packaged_files.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "header of 100 kilobytes": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % (b"x" * 100_000),
    "NUL in the path": b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "line break in a header": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX\r\n: y\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "another protocol's version": b"GET /metrics HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "two lengths": b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative length": b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "chunk without a size": b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "body that is not gzip": (
        b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "twenty thousand headers": b"GET /livez HTTP/1.1\r\nHost: a\r\n%s\r\n"
    % b"".join(b"X%d: y\r\n" % n for n in range(20_000)),
    "broken address": b"GET http://[::1/livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "header that is not ASCII": b"GET /\xff HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "control characters in a cookie": b"GET /livez HTTP/1.1\r\nHost: a\r\nCookie: \x01;;=\r\n\r\n",
    "length without an end": b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nx",
}


@pytest.fixture
async def server():
    """Return the endpoints, served on a free port."""
    one = HttpServer(HttpSettings(port=0), Observed())
    await one.start()
    yield one
    await one.stop()


async def talk(server, raw):
    """Send bytes and return the answer's status; None if the connection closes without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(raw)
    try:
        async with asyncio.timeout(30):
            line = await reader.readline()
    except ConnectionError:
        line = b""
    writer.close()
    return int(line.split(b" ")[1]) if line.startswith(b"HTTP/") else None


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_bad_request_is_the_clients_fault(server, name):
    """A bad request is answered 4xx, and the next good one as usual."""
    status = await talk(server, REQUESTS[name])
    assert status is not None
    assert 400 <= status < 500
    assert (await ask(server, "/metrics"))[0] == 200


@pytest.fixture
def lines():
    """Return the log lines, written as `kis-bond run` writes them."""
    written = []
    handler = logs.configure(LogSettings(), written.append)
    yield written
    handler.close()
    logging.getLogger().removeHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)
    structlog.reset_defaults()


async def test_bad_requests_leave_one_line_of_each_kind_and_no_traceback(server, lines):
    """Nothing that a client sends brings a traceback, an error or its own words into the log."""
    asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no bad request
    for _ in range(3):
        for raw in REQUESTS.values():
            await talk(server, raw)
    assert (await ask(server, "/livez"))[0] == 200
    await server.stop()
    found = [json.loads(line) for line in lines]
    assert {(line["event"], line["level"], line["client"] in {None, "127.0.0.1"}) for line in found} == {
        ("http_request_bad", "info", True)
    }
    kinds = [line["fault"] for line in found]
    assert {"LineTooLong", "BadHttpMethod", "RequestPayloadError"} < set(kinds)
    assert len(kinds) == len(set(kinds)) < 12
    assert max(map(len, lines)) < 300


async def test_a_client_that_leaves_in_the_middle_of_an_answer_leaves_no_line(server, lines):
    """A reset while an answer is on its way is nobody's error."""
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60)
        await reader.read(10)
        writer.transport.abort()
    assert (await ask(server, "/livez"))[0] == 200
    await server.stop()
    assert lines == []


async def test_livez_answers_beside_a_flood_of_nonsense(server):
    """Two hundred clients that send nonsense at once hold up no probe."""
    nonsense = asyncio.gather(*(talk(server, raw) for raw in list(REQUESTS.values()) * 8))
    async with asyncio.timeout(30):
        for _ in range(5):
            assert (await ask(server, "/livez"))[0] == 200
    await nonsense


async def test_clients_that_say_nothing_hold_up_nobody(server):
    """Three hundred stalled clients do not delay the answer to another one."""
    unread = (
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
        b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 60,
    )
    writers = []
    for number in range(300):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write((b"GET /metrics HT", *unread)[number % 3])
        writers.append(writer)
    async with asyncio.timeout(30):
        assert (await ask(server, "/livez"))[0] == 200
        assert (await ask(server, "/status"))[0] == 200
    for writer in writers:
        writer.close()


@pytest.mark.parametrize(
    "said",
    [b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    ids=["nothing", "half a request", "a request"],
)
async def test_a_client_that_hangs_is_let_go(said):
    """A client that is silent for the idle time loses its connection and descriptor."""
    server = HttpServer(HttpSettings(port=0), Observed(), idle_seconds=0.2)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(said)
        async with asyncio.timeout(30):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200") is said.endswith(b"\r\n\r\n")
        writer.close()
    finally:
        await server.stop()
