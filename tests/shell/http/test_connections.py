"""Connections are bounded, and idle ones give way first."""

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import time

import pytest

from connector.settings import HttpSettings
from connector.shell.http import HttpServer, connections
from connector.shell.http.connections import Connections, affordable
from tests.shell.http.test_server import Observed, ask

REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
# A server with few descriptors; for each line it opens so many files and says how many it could.
SERVER = """
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
from connector.settings import HttpSettings
from connector.shell.http import HttpServer
from tests.shell.http.test_server import Observed

async def main():
    server = HttpServer(HttpSettings(port=0), Observed())
    await server.start()
    print(server.port, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        files = []
        try:
            for _ in range(int(line)):
                files.append(open("/dev/null"))
        except OSError:
            pass
        print(len(files), flush=True)
        for file in files:
            file.close()

asyncio.run(main())
"""


class Transport:
    """A connection with so many bytes unread."""

    def __init__(self, unread=0):
        self.unread = unread
        self.is_aborted = False

    def get_write_buffer_size(self):
        """Return the bytes the client has not read."""
        return self.unread

    def abort(self):
        """Note the end."""
        self.is_aborted = True


def test_the_longest_idle_connection_gives_way():
    """A new connection replaces the one whose last request is the oldest."""
    held = [Transport() for _ in range(4)]
    bounded = Connections(3)
    for each in held[:3]:
        bounded.add(each)
    bounded.use(held[0])
    bounded.add(held[3])
    assert [each.is_aborted for each in held] == [False, True, False, False]


def test_a_client_that_reads_gives_way_after_the_idle_ones():
    """Whoever is being answered stays, unless nobody is idle."""
    answered, idle, late, later = Transport(unread=9), Transport(), Transport(unread=9), Transport()
    bounded = Connections(2)
    for each in (answered, idle, late):
        bounded.add(each)
    assert (answered.is_aborted, idle.is_aborted) == (False, True)
    bounded.add(later)
    assert (answered.is_aborted, late.is_aborted) == (True, False)


def test_a_closed_connection_makes_room():
    """A connection that ended is not counted, and its end may be noted twice."""
    first, second = Transport(), Transport()
    bounded = Connections(1)
    bounded.add(first)
    bounded.remove(first)
    bounded.remove(first)
    bounded.use(first)
    bounded.add(second)
    assert not first.is_aborted


def test_connections_take_a_share_of_the_descriptors(monkeypatch):
    """With few descriptors fewer connections are allowed than set, and one at least."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (128, 128))
    assert (affordable(64), affordable(8)) == (32, 8)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2, 2))
    assert affordable(64) == 1
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert affordable(64) == 64
    assert connections.SHARE > 1


@contextlib.asynccontextmanager
async def serving(**settings):
    """Give a running server."""
    server = HttpServer(HttpSettings(port=0, **settings), Observed())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def _is_closed(reader):
    with contextlib.suppress(ConnectionError):
        return await reader.read() == b""
    return True


async def test_no_more_than_the_setting_are_open():
    """Of twenty clients the last five keep their connections, and each newcomer is answered."""
    async with serving(max_connections=5) as server:
        clients = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        async with asyncio.timeout(30):
            assert all([await _is_closed(reader) for reader, _ in clients[:15]])
        assert not any(reader.at_eof() for reader, _ in clients[15:])
        for _ in range(10):
            assert (await ask(server, "/livez"))[0] == 200
        for _, writer in clients:
            writer.close()


async def test_a_scraper_keeps_its_connection_among_idle_clients():
    """A client that asks now and then is not the one that gives way."""
    async with serving(max_connections=4) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        others = []
        for _ in range(12):
            writer.write(REQUEST)
            async with asyncio.timeout(30):
                assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            others += [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for _, other in (*others, (reader, writer)):
            other.close()


async def test_clients_that_read_no_answer_keep_nobody_out():
    """With every connection held by clients that read nothing, a newcomer is answered."""
    async with serving(max_connections=4) as server:
        writers = []
        for _ in range(4):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
            writer.write(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300)
            writers.append(writer)
        async with asyncio.timeout(30):
            assert (await ask(server, "/livez"))[0] == 200
        for writer in writers:
            writer.close()


@pytest.fixture
def many_files():
    """Let this process hold the thousand clients."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
@pytest.mark.parametrize("descriptors", [1024, 128])
async def test_a_thousand_idle_clients_leave_descriptors_to_the_feed(many_files, descriptors):
    """While a thousand idle connections are tried, /livez answers and descriptors stay free."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVER, str(descriptors)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    clients, waits = [], []
    try:
        port = int(await process.stdout.readline())
        for number in range(1000):
            clients.append(await asyncio.open_connection("127.0.0.1", port))
            if number % 50 == 49:
                began = time.monotonic()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(REQUEST)
                async with asyncio.timeout(30):
                    assert json.loads((await reader.readuntil(b"}")).partition(b"\r\n\r\n")[2]) == {"alive": True}
                waits.append(time.monotonic() - began)
                writer.close()
        assert sorted(waits)[len(waits) // 2] < 2  # a busy machine may spoil some
        process.stdin.write(f"{descriptors // 2}\n".encode())
        assert int(await process.stdout.readline()) == descriptors // 2
    finally:
        for _, writer in clients:
            writer.close()
        process.stdin.close()
        process.kill()
        await process.wait()
