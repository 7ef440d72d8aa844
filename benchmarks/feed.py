"""A KIS stand-in that sends a prepared day to a pipeline, at full speed or at a rate.

It prints two lines: its two URLs as JSON, and `prepared` once every bond is registered and all
frames are made. Of a very long day, only the first part is made before. Sending begins when its
input says so; each session gets the ticks of its own bonds.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.day import Tick, frames, isins, ticks
from benchmarks.pipeline import Run, arguments

MOST_PREPARED, PART_TICKS = 2_000_000, 200_000  # a longer day does not fit into memory; its parts do
CHUNK_BYTES = 256 * 1024
RATE_STEP_SECONDS = 0.001
PING_SECONDS = 10  # as KIS does on an idle line
PING = '{"header":{"tr_id":"PINGPONG","datetime":"20260102090000"}}'


class Feed:
    """Answers registrations, and then sends each session the ticks of its bonds."""

    def __init__(self, bonds: Iterable[str]) -> None:
        self._missing = set(bonds)
        self._sessions: dict[str, ServerConnection] = {}
        self.registered = asyncio.Event()

    async def session(self, socket: ServerConnection) -> None:
        """Serve one connection until it ends."""
        async for message in socket:
            request = json.loads(message)
            if request["header"].get("tr_type") != "1":
                continue
            isin = request["body"]["input"]["tr_key"]
            output = {"iv": "0123456789abcdef", "key": "abcdefghijklmnopabcdefghijklmnop"}
            body = {"rt_cd": "0", "msg_cd": "OPSP0000", "msg1": "SUBSCRIBE SUCCESS", "output": output}
            header = {"tr_id": "H0BJCNT0", "tr_key": isin, "encrypt": "N"}
            await socket.send(json.dumps({"header": header, "body": body}))
            self._sessions[isin] = socket
            self._missing.discard(isin)
            if not self._missing:
                self.registered.set()

    async def ping(self) -> None:
        """Keep waiting sessions alive."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            for socket in set(self._sessions.values()):
                try:
                    await socket.send(PING)
                except ConnectionClosed:
                    continue  # a session that ended is missed by the pipeline's count of ticks

    def by_session(self, day: Iterable[Tick], per_frame: int) -> dict[ServerConnection, list[bytes]]:
        """Return each session's frames, ready to be written, in order of time."""
        found: dict[ServerConnection, list[Tick]] = defaultdict(list)
        for tick in day:
            found[self._sessions[tick.isin]].append(tick)
        return {
            socket: [websocket_frame(text) for text in frames(of_one, per_frame)] for socket, of_one in found.items()
        }


def websocket_frame(text: bytes) -> bytes:
    """Return a server's unmasked text frame (RFC 6455 §5.2)."""
    size = len(text)
    if size < 126:
        return b"\x81" + bytes([size]) + text
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


async def send_at_once(transport: asyncio.WriteTransport, sent: list[bytes]) -> None:
    """Write all frames as fast as they are read."""
    chunk = bytearray()
    for frame in sent:
        chunk += frame
        if len(chunk) > CHUNK_BYTES:
            await _write(transport, bytes(chunk))
            chunk.clear()
    await _write(transport, bytes(chunk))


async def _write(transport: asyncio.WriteTransport, data: bytes) -> None:
    transport.write(data)
    while transport.get_write_buffer_size() > CHUNK_BYTES:
        await asyncio.sleep(RATE_STEP_SECONDS)


async def send_paced(transport: asyncio.WriteTransport, sent: list[bytes], frames_per_second: float) -> None:
    """Write each frame when it is due."""
    started, done = time.perf_counter(), 0
    while done < len(sent):
        due = min(len(sent), int((time.perf_counter() - started) * frames_per_second))
        transport.write(b"".join(sent[done:due]))
        done = due
        await asyncio.sleep(RATE_STEP_SECONDS)


def parts(day: Iterable[Tick], count: int) -> Iterator[list[Tick]]:
    """Yield the ticks of a day that has so many, all at once or in parts."""
    rest, size = iter(day), count if count <= MOST_PREPARED else PART_TICKS
    while part := list(islice(rest, size)):
        yield part


async def approve(_: web.Request) -> web.Response:
    """Give anybody an approval key."""
    return web.json_response({"approval_key": "11111111-2222-4333-8444-555555555555"})


async def main(run: Run) -> None:
    """Listen, send when told to, and stay until killed."""
    day = parts(ticks(run.ticks, run.bonds, run.prices, run.seed), run.ticks)
    part = next(day)
    feed = Feed(isins(run.bonds))
    application = web.Application()
    application.router.add_post("/oauth2/Approval", approve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with serve(feed.session, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        addresses = {
            "approval_url": f"http://127.0.0.1:{runner.addresses[0][1]}/oauth2/Approval",
            "websocket_url": f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        }
        print(json.dumps(addresses), flush=True)
        pinging = asyncio.create_task(feed.ping())
        await feed.registered.wait()
        prepared = feed.by_session(part, run.per_frame)
        print("prepared", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        pinging.cancel()
        while part:
            await asyncio.gather(
                *(
                    send_paced(socket.transport, sent, run.ticks_per_second / len(part) * len(sent))
                    if run.ticks_per_second
                    else send_at_once(socket.transport, sent)
                    for socket, sent in prepared.items()
                )
            )
            part = next(day, [])
            prepared = feed.by_session(part, run.per_frame)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
