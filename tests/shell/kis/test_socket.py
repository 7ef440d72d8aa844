import asyncio
import contextlib
import http

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

from connector.shell.kis.gather import MOST_BYTES, READ_BYTES
from connector.shell.kis.socket import open_socket
from tests import two_addresses
from tests.shell.kis.bench import A, Bench, until


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("environment", ["10", None])
async def test_redirects_are_failed_handshakes(status, environment, monkeypatch):
    """A redirect is a failed handshake: nothing is sent to the host it names."""
    if environment:
        monkeypatch.setattr("websockets.asyncio.client.MAX_REDIRECTS", int(environment))
    received = []

    async def elsewhere(connection):
        received.append(connection)

    async with serve(elsewhere, "127.0.0.1", 0) as other:
        target = f"ws://127.0.0.1:{other.sockets[0].getsockname()[1]}/"

        def redirect(connection, _):
            response = connection.respond(http.HTTPStatus(status), "")
            response.headers["Location"] = target
            return response

        async with serve(elsewhere, "127.0.0.1", 0, process_request=redirect) as kis:
            url = f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/"
            async with Bench(url=url).running(A) as bench:
                await until(lambda: sum(bench.feed.connects.values()) >= 2)
                assert (bench.feed.view.code, bench.downs()) == (str(status), ["handshake"])
        assert received == []


async def test_handshake_is_plain(monkeypatch):
    """The handshake offers no compression and names no library; no Ping is ever sent."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "socks_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    requests = asyncio.Queue()

    async def keep(connection):
        await requests.put(connection.request)
        await connection.wait_closed()

    async with serve(keep, "127.0.0.1", 0) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        headers = (await requests.get()).headers
        assert "Sec-WebSocket-Extensions" not in headers
        assert "Authorization" not in headers
        assert "websockets" not in headers["User-Agent"]
        assert "Python" not in headers["User-Agent"]
        assert socket.ping_interval is None
        await socket.close()


async def all_messages(socket):
    """Return the messages of each call of `receive` until the connection ends."""
    calls = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            calls.append(await socket.receive())
    return calls


async def test_messages_come_in_order_with_their_kind():
    """Text and binary messages come whole and in order, even if they were sent in fragments."""

    async def talk(connection):
        await connection.send("a")
        await connection.send([b"b", b"", b"c"])
        await connection.send(["d", "e", "f"])
        await connection.send("")
        await connection.send([b"", b"g"])
        await connection.ping()
        await connection.send("h")

    async with serve(talk, "127.0.0.1", 0) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        messages = [message for call in await all_messages(socket) for message in call]
    assert messages == [(False, b"a"), (True, b"bc"), (False, b"def"), (False, b""), (True, b"g"), (False, b"h")]
    with pytest.raises(ConnectionClosedOK):
        await socket.receive()


async def test_messages_that_came_together_are_received_together():
    """The messages of one packet are returned by one call, also if the connection has ended."""

    async def talk(connection):
        connection.transport.write(b"".join(b"\x81\x03%03d" % number for number in range(100)))

    async with serve(talk, "127.0.0.1", 0) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        await socket.wait_closed()
        calls = await all_messages(socket)
    assert calls == [[(False, b"%03d" % number) for number in range(100)]]


async def test_messages_that_follow_closely_are_gathered(monkeypatch):
    """A message after a pause comes at once; those that follow it closely come together."""
    monkeypatch.setattr("connector.shell.kis.gather.GATHER_SECONDS", 2.5)
    first_is_here = asyncio.Event()

    async def talk(connection):
        await connection.send("a")
        await first_is_here.wait()
        for text in "bcd":
            await connection.send(text)
            await asyncio.sleep(0.01)
        await connection.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        async with asyncio.timeout(2.2):
            assert await socket.receive() == [(False, b"a")]
        first_is_here.set()
        assert await socket.receive() == [(False, b"b"), (False, b"c"), (False, b"d")]
        await socket.close()


@pytest.mark.parametrize(("size", "count"), [(20, 40_000), (50_000, 400)])
async def test_messages_that_are_not_taken_stop_the_peer(size, count):
    """While messages wait to be taken, only a bounded number is read; later all of them come."""

    async def talk(connection):
        head = b"\x82" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big"))
        connection.transport.write((head + b"x" * size) * count)

    async with serve(talk, "127.0.0.1", 0) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        await until(lambda: socket._is_held)
        assert not socket.transport.is_reading()
        assert len(socket._messages) < count
        assert sum(len(raw) for _, raw in socket._messages) < 2 * socket._gather.share + size
        async with asyncio.timeout(30):
            assert sum([len(call) for call in await all_messages(socket)]) == count


async def test_many_sockets_hold_together_what_few_would():
    """However many sockets are open, their share is such that together they hold a few MiB."""
    gate = asyncio.Event()

    async def talk(connection):
        await gate.wait()
        connection.transport.write(b"\x82\x7e\x00\xc8" + b"x" * 200 + (b"\x82\x7e\x00\xc8" + b"x" * 200) * 20_000)

    async with serve(talk, "127.0.0.1", 0) as kis:
        url = f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/"
        sockets = [await open_socket(url) for _ in range(16)]
        assert sockets[0]._gather.share == READ_BYTES // 16
        gate.set()
        await until(lambda: all(socket._is_held for socket in sockets))
        assert sum(len(raw) for socket in sockets for _, raw in socket._messages) < 2 * READ_BYTES
        for socket in sockets[1:]:
            socket.transport.abort()
        await until(lambda: sockets[0]._gather.share == MOST_BYTES)
        sockets[0].transport.abort()


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_sends_to_a_peer_that_has_gone_lose_nothing_it_sent_before(end, monkeypatch):
    """Messages that wait in the kernel are received, although answers cannot reach the peer."""
    monkeypatch.setattr("connector.shell.kis.gather.GATHER_SECONDS", 0.2)
    first_is_here, has_ended = asyncio.Event(), asyncio.Event()

    async def talk(connection):
        await connection.send("000")
        await first_is_here.wait()
        connection.transport.write(b"".join(b"\x81\x03%03d" % number for number in range(1, 100)))
        getattr(connection.transport, end)()
        has_ended.set()

    async with serve(talk, "127.0.0.1", 0) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        messages = await socket.receive()
        first_is_here.set()
        await has_ended.wait()
        for _ in range(3):
            await asyncio.sleep(0.01)
            await socket.send_at_once("answer")
        messages += [message for call in await all_messages(socket) for message in call]
    assert messages == [(False, b"%03d" % number) for number in range(100)]


async def test_send_at_once_never_waits():
    """A send to a peer that does not read fails at once, as on a closed connection."""
    blocked = asyncio.Event()

    async def deaf(connection):
        connection.transport.pause_reading()
        await blocked.wait()
        connection.transport.abort()

    async with serve(deaf, "127.0.0.1", 0) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        async with asyncio.timeout(30):
            while await socket.send_at_once("x" * 8000):
                pass
        blocked.set()
        await socket.wait_closed()
        assert not await socket.send_at_once("x")


async def test_a_swallowed_connection_is_tried_at_the_next_address(monkeypatch):
    """If the first address of a name swallows connections, the second is reached soon."""
    two_addresses.resolve(monkeypatch)

    async def keep(connection):
        await connection.wait_closed()

    async with serve(keep, two_addresses.ANSWERS, 0) as kis:
        port = kis.sockets[0].getsockname()[1]
        with two_addresses.swallowing(port):
            async with asyncio.timeout(30):
                socket = await open_socket(f"ws://{two_addresses.NAME}:{port}/")
            await socket.close()
