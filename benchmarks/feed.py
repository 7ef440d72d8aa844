"""A KIS stand-in that sends the same prepared frames to every pipeline, at full speed or at a rate.

Prints its two URLs as JSON. Each connection gets all frames once it has registered every bond.
"""

import argparse
import asyncio
import json
import random
import time
from datetime import datetime
from zoneinfo import ZoneInfo

from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from connector.core.bonds.isin import with_check_digit

BONDS = [with_check_digit(f"KR10350{number:04d}") for number in range(41)]
CHUNK_BYTES = 256 * 1024
RATE_STEP_SECONDS = 0.001


def records(count: int) -> list[str]:
    """Return records like a busy day's: recurring prices and yields, growing volumes."""
    chance = random.Random(1)
    hour = datetime.now(ZoneInfo("Asia/Seoul")).strftime("%H%M%S")
    accumulated = dict.fromkeys(BONDS, 0)
    made = []
    for number in range(count):
        isin = BONDS[number % len(BONDS)]
        volume = chance.choice((10, 20, 50, 100, 1000))
        accumulated[isin] += volume
        step = chance.randrange(-40, 41)
        price, rate = 10575 + step * 0.5, 3.012 - step * 0.001
        made.append(
            f"{isin}^국고03250-5303(23-2)^{hour}^2^{step * 0.5:.2f}^{step * 0.005:.2f}^{price:.2f}^{volume}"
            f"^10525.00^10595.00^10555.00^0.00^{rate:.3f}^3.037^2.972^3.052^{accumulated[isin]}^9874082^2"
        )
    return made


def websocket_frames(ticks: int, per_frame: int) -> list[bytes]:
    """Return a server's unmasked text frames (RFC 6455 §5.2), ready to be written."""
    texts, made = [], records(ticks)
    for start in range(0, ticks, per_frame):
        part = made[start : start + per_frame]
        texts.append(f"0|H0BJCNT0|{len(part):03d}|{'^'.join(part)}".encode())
    return [
        b"\x81" + (bytes([len(text)]) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2, "big")) + text
        for text in texts
    ]


class Feed:
    """Answers registrations and then sends."""

    def __init__(self, frames: list[bytes], frames_per_second: float) -> None:
        self._frames = frames
        self._rate = frames_per_second

    async def session(self, socket: ServerConnection) -> None:
        """Serve one connection until it ends."""
        registered = set()
        async for message in socket:
            request = json.loads(message)
            if request["header"]["tr_type"] != "1":
                continue
            isin = request["body"]["input"]["tr_key"]
            registered.add(isin)
            output = {"iv": "0123456789abcdef", "key": "abcdefghijklmnopabcdefghijklmnop"}
            body = {"rt_cd": "0", "msg_cd": "OPSP0000", "msg1": "SUBSCRIBE SUCCESS", "output": output}
            await socket.send(
                json.dumps({"header": {"tr_id": "H0BJCNT0", "tr_key": isin, "encrypt": "N"}, "body": body})
            )
            if len(registered) == len(BONDS):
                await asyncio.sleep(0.5)  # the replies are read before the race begins
                await (self._paced if self._rate else self._at_once)(socket.transport)
                registered.clear()

    async def _at_once(self, transport: asyncio.Transport) -> None:
        chunk = bytearray()
        for frame in self._frames:
            chunk += frame
            if len(chunk) > CHUNK_BYTES:
                await self._write(transport, bytes(chunk))
                chunk.clear()
        await self._write(transport, bytes(chunk))

    async def _paced(self, transport: asyncio.Transport) -> None:
        started, sent = time.perf_counter(), 0
        while sent < len(self._frames):
            due = min(len(self._frames), int((time.perf_counter() - started) * self._rate))
            transport.write(b"".join(self._frames[sent:due]))
            sent = due
            await asyncio.sleep(RATE_STEP_SECONDS)

    async def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        transport.write(data)
        while transport.get_write_buffer_size() > CHUNK_BYTES:
            await asyncio.sleep(0.001)


async def approve(_: web.Request) -> web.Response:
    """Give anybody an approval key."""
    return web.json_response({"approval_key": "11111111-2222-4333-8444-555555555555"})


async def main() -> None:
    """Listen until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, required=True)
    parser.add_argument("--per-frame", type=int, default=1)
    parser.add_argument("--frames-per-second", type=float, default=0, help="0: as fast as they are read")
    options = parser.parse_args()
    feed = Feed(websocket_frames(options.ticks, options.per_frame), options.frames_per_second)
    application = web.Application()
    application.router.add_post("/oauth2/Approval", approve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with serve(feed.session, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        print(
            json.dumps(
                {
                    "approval_url": f"http://127.0.0.1:{runner.addresses[0][1]}/oauth2/Approval",
                    "websocket_url": f"ws://127.0.0.1:{port}",
                }
            ),
            flush=True,
        )
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
