"""The proxy does exactly what its toxics say."""

import asyncio
import contextlib
import time

import pytest

from tests.faults.proxy import Proxy
from tests.kafka.process import free_ports


@pytest.fixture
async def proxy():
    """Return a proxy before a server that echoes."""

    async def echo(reader, writer):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1024):
                writer.write(chunk)
        writer.close()

    port, target = free_ports(2)
    server = await asyncio.start_server(echo, "127.0.0.1", target)
    one = Proxy(port, target)
    await one.start()
    yield one
    await one.stop()
    server.close()


async def connected(proxy):
    """Return a connection through the proxy that has echoed once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    return reader, writer


async def test_bytes_pass_both_ways(proxy):
    """Without a toxic no byte changes."""
    _, writer = await connected(proxy)
    writer.close()


async def test_latency_delays(proxy):
    """Each chunk is delayed by the latency."""
    reader, writer = await connected(proxy)
    proxy.down.latency = 0.1
    since = time.monotonic()
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    assert time.monotonic() - since >= 0.1
    writer.close()


async def test_deaf_links_swallow_and_new_ones_work(proxy):
    """A half-open connection stays open and silent; new ones work."""
    reader, writer = await connected(proxy)
    proxy.deafen()
    writer.write(b"x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    _, other = await connected(proxy)
    writer.close()
    other.close()


async def test_timeout_swallows_everything(proxy):
    """With the toxic, neither old nor new connections get an answer."""
    reader, writer = await connected(proxy)
    proxy.up.timeout = True
    writer.write(b"x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    writer.close()


async def test_reset_peer_resets(proxy):
    """The client sees RST after the request has passed."""
    reader, writer = await connected(proxy)
    proxy.down.reset_peer = 1.0
    writer.write(b"x")
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    assert proxy.resets == 1
    writer.close()


async def test_corrupt_flips_one_bit(proxy):
    """The length stays, and one bit differs."""
    reader, writer = await connected(proxy)
    proxy.down.corrupt = 1.0
    writer.write(b"\0" * 8)
    answer = await reader.readexactly(8)
    assert sum(byte.bit_count() for byte in answer) == 1
    writer.close()


async def test_limit_data_closes(proxy):
    """The connection closes after the given number of bytes."""
    reader, writer = await connected(proxy)
    proxy.down.limit_data = 6
    writer.write(b"xy")
    assert await reader.read(10) == b"xy"
    assert await reader.read(10) == b""
    writer.close()


async def test_a_stopped_proxy_refuses_and_comes_back(proxy):
    """A stopped proxy refuses connections; started again, it has the same port."""
    reader, _ = await connected(proxy)
    await proxy.stop()
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.start()
    _, writer = await connected(proxy)
    writer.close()
