"""The feed sends each session exactly the frames of its bonds."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from benchmarks.day import frames, isins, ticks
from benchmarks.feed import Feed, parts, send_at_once, send_paced, websocket_frame

BONDS, TICKS = 6, 300


@asynccontextmanager
async def registered(sessions):
    """Give a feed and its clients, among which the bonds are dealt."""
    feed = Feed(isins(BONDS))
    async with serve(feed.session, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        clients = [await connect(url, ping_interval=None, compression=None) for _ in range(sessions)]
        for number, isin in enumerate(isins(BONDS)):
            client = clients[number % sessions]
            body = {"input": {"tr_id": "H0BJCNT0", "tr_key": isin}}
            await client.send(json.dumps({"header": {"tr_type": "1"}, "body": body}))
            assert json.loads(await client.recv())["body"]["msg_cd"] == "OPSP0000"
        await asyncio.wait_for(feed.registered.wait(), 30)
        yield feed, clients
        for client in clients:
            await client.close()


@pytest.mark.parametrize("per_frame", [1, 19])
@pytest.mark.parametrize("sessions", [1, 3])
async def test_each_session_gets_its_bonds(sessions, per_frame):
    """Together the sessions get every tick once, each session its own bonds' in order."""
    day = list(ticks(TICKS, BONDS, 50))
    async with registered(sessions) as (feed, clients):
        prepared = feed.by_session(day, per_frame)
        await asyncio.gather(*(send_at_once(socket.transport, sent) for socket, sent in prepared.items()))
        for number, client in enumerate(clients):
            own = [tick for tick in day if isins(BONDS).index(tick.isin) % sessions == number]
            expected = list(frames(own, per_frame))
            got = [await asyncio.wait_for(client.recv(decode=False), 30) for _ in expected]
            assert got == expected


async def test_paced_frames_come_when_due():
    """At a rate, no frame comes before it is due, and all come."""
    async with registered(1) as (feed, (client,)):
        ((socket, sent),) = feed.by_session(ticks(15, BONDS, 50), 1).items()
        loop = asyncio.get_running_loop()
        started, sending = loop.time(), asyncio.create_task(send_paced(socket.transport, sent, 50))
        for number in range(15):
            await asyncio.wait_for(client.recv(), 30)
            assert loop.time() - started > number / 50 - 0.002
        await sending


def test_a_long_day_is_made_in_parts(monkeypatch):
    """A day that does not fit into memory is sent part by part, and any other at once."""
    monkeypatch.setattr("benchmarks.feed.MOST_PREPARED", 10)
    monkeypatch.setattr("benchmarks.feed.PART_TICKS", 4)
    assert list(parts(range(10), 10)) == [list(range(10))]
    assert list(parts(range(11), 11)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


async def test_echoed_ping_is_no_registration():
    """A waiting session that returns a PINGPONG stays as it is."""
    async with registered(1) as (feed, (client,)):
        await client.send('{"header":{"tr_id":"PINGPONG","datetime":"20260102090000"}}')
        ((socket, sent),) = feed.by_session(ticks(1, BONDS, 50), 1).items()
        await send_at_once(socket.transport, sent)
        assert (await asyncio.wait_for(client.recv(), 30)).startswith("0|H0BJCNT0|001|")


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_websocket_frame_lengths(size):
    """The payload's length is written in 7, 16 or 64 bits."""
    framed = websocket_frame(b"x" * size)
    short = framed[1]
    header = 2 if short < 126 else 4 if short == 126 else 10
    written = short if short < 126 else int.from_bytes(framed[2:header], "big")
    assert (framed[0], written, framed[header:]) == (0x81, size, b"x" * size)
    assert header == (2 if size < 126 else 4 if size < 65_536 else 10)
