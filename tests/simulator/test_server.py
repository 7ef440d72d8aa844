"""The simulator as one object."""

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed

from simulator import Simulator
from simulator.faults import FaultUnknownError

A = "KR103502GD31"


async def everything(client):
    """Return every frame up to the end of the connection."""
    frames: list[str] = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            frames.append(await client.receive())
    return frames


async def test_urls_tell_the_ports_taken():
    """Port 0 means any free port, and the URLs show which."""
    async with Simulator() as kis:
        assert kis.approval_url.startswith("http://127.0.0.1:")
        assert kis.approval_url.endswith("/oauth2/Approval")
        assert int(kis.websocket_url.rpartition(":")[2]) > 0


async def test_two_simulators_do_not_meet():
    """Two simulators have ports of their own."""
    async with Simulator() as one, Simulator() as other:
        assert (one.approval_url, one.websocket_url) != (other.approval_url, other.websocket_url)


async def test_a_port_already_taken_is_an_error():
    """A second simulator on the same WebSocket port fails and leaves nothing open."""
    async with Simulator() as kis:
        port = int(kis.websocket_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with Simulator(ws_port=port):
                pass


async def test_refuse_and_listen(join):
    """Connections can be refused and accepted again on the same port; open sessions stay."""
    async with Simulator() as kis:
        client = await join(kis, A)
        await kis.refuse()
        with pytest.raises(OSError, match=r"refused|failed"):
            await join(kis, key=client.key)
        assert await client.code(A) == "OPSP0002"
        await kis.listen()
        await join(kis, key=client.key)


async def test_what_was_sent_arrives_though_the_simulator_ends(join):
    """Even a slow client receives everything that was sent before the simulator ends."""
    async with Simulator() as kis:
        client = await join(kis, A)
        client.socket.transport.pause_reading()
        while not kis.stats.stalls:
            kis._feed.trade([A] * 999)
        client.socket.transport.resume_reading()
        receiving = asyncio.create_task(everything(client))
    assert [len(frame) for frame in await receiving] == [
        len("^".join(record.raw for record in sent.records)) + 15 for sent in kis.sent
    ]


async def test_an_unknown_ending_is_an_error(join):
    """Dropping a session in an unknown way is an error."""
    async with Simulator() as kis:
        await join(kis, A)
        with pytest.raises(ValueError, match="not by 'gently'"):
            await kis.drop(0, "gently")


def test_an_unknown_fault_is_an_error():
    """An unknown fault is refused at construction."""
    with pytest.raises(FaultUnknownError):
        Simulator(faults=["nonsense"])
