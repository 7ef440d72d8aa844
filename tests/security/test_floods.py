"""A peer on the WebSocket may send anything, as fast as it can: the connector stays responsive."""

import asyncio

from websockets.asyncio.server import serve

from connector.shell.kis.socket import MOST_UNSENT_BYTES, open_socket
from simulator import Simulator
from tests.core.kis.kis_model import reply
from tests.shell.kis.bench import A, Bench, until


async def test_replies_leave_other_tasks_their_turn():
    """However many replies arrive at once, other tasks run between any few of them."""
    async with Simulator() as kis, Bench(kis).running(A) as bench:
        await bench.active(A)
        await kis.emit_ticks(A)
        most, seen = 0, bench.feed.unsolicited

        async def watch():
            nonlocal most, seen
            while True:
                await asyncio.sleep(0)
                most, seen = max(most, bench.feed.unsolicited - seen), bench.feed.unsolicited

        watching = asyncio.create_task(watch())
        for _ in range(1000):
            kis._feed.emit(reply("OPSP0000", "no bond").encode(), 0, binary=False)
        await until(lambda: bench.feed.unsolicited >= 1000)
        watching.cancel()
    assert most <= 3


async def test_a_peer_that_pings_and_does_not_read_is_dropped():
    """A peer that pings but does not read is dropped before our answers fill the memory."""
    most = 0

    async def flood(connection):
        connection.transport.pause_reading()
        while not connection.transport.is_closing():
            connection.transport.write((b"\x89\x7d" + b"x" * 125) * 500)
            await asyncio.sleep(0)

    async with serve(flood, "127.0.0.1", 0, ping_interval=None) as kis:
        socket = await open_socket(f"ws://127.0.0.1:{kis.sockets[0].getsockname()[1]}/")
        async with asyncio.timeout(60):
            while not socket.transport.is_closing():
                most = max(most, socket.transport.get_write_buffer_size())
                await asyncio.sleep(0)
        await socket.wait_closed()
    assert most < 4 * MOST_UNSENT_BYTES
