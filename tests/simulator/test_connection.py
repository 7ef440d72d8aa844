"""Frames on the wire, by hand and against the library."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulator import Simulator


def masked(opcode, payload, *, fin=True):
    """Return a client's frame."""
    mask = os.urandom(4)
    length = (
        bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
    )
    return (
        bytes([(0x80 if fin else 0) | opcode])
        + length
        + mask
        + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    )


async def unmasked(reader):
    """Return the first byte and the payload of a server's frame."""
    first, size = await reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    return first, await reader.readexactly(size)


async def test_handshake_and_frames_by_hand(ask_approval):
    """A raw socket can register in fragments, gets a tick as one text frame, and can close."""
    async with Simulator() as kis:
        key = await ask_approval(kis)
        host, _, port = kis.websocket_url.removeprefix("ws://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        nonce = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /tryitout/H0BJCNT0 HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        response = await reader.readuntil(b"\r\n\r\n")
        accept = base64.b64encode(
            hashlib.sha1(f"{nonce}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        ).decode()
        assert response.startswith(b"HTTP/1.1 101 ")
        assert accept in response.decode()
        header = {"approval_key": key, "custtype": "P", "tr_type": "1", "content-type": "utf-8"}
        body = {"input": {"tr_id": "H0BJCNT0", "tr_key": "KR103502GD31"}}
        text = json.dumps({"header": header, "body": body}).encode()
        writer.write(masked(0x1, text[:50], fin=False) + masked(0x0, text[50:]))
        first, payload = await unmasked(reader)
        assert (first, json.loads(payload)["body"]["msg_cd"]) == (0x81, "OPSP0000")
        (record,) = await kis.emit_ticks("KR103502GD31")
        assert await unmasked(reader) == (0x81, f"0|H0BJCNT0|001|{record}".encode())
        assert kis.connects[0].path == "/tryitout/H0BJCNT0"
        writer.write(masked(0x8, (1000).to_bytes(2, "big")))
        assert await unmasked(reader) == (0x88, (1000).to_bytes(2, "big"))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_text_that_is_no_utf8_and_binary(join):
    """Any bytes can be sent as a text frame, and as a binary one on request."""
    async with Simulator() as kis:
        client = await join(kis, "KR103502GD31")
        await kis.emit(b"\xff\xfe")
        await kis.emit("0|", binary=True)
        assert await client.receive(decode=False) == b"\xff\xfe"
        assert await client.receive(decode=None) == b"0|"


async def test_endings(join):
    """A session can end without a close frame, with RST, or with a given close code."""
    async with Simulator(approval_interval_seconds=0) as kis:
        for how, code in (("no-close-frame", None), ("abrupt", None), ("close=1012", 1012)):
            client = await join(kis, "KR103502GD31")
            receiving = asyncio.create_task(client.receive())
            await kis.drop(0, how)
            with pytest.raises(ConnectionClosed) as caught:
                await receiving
            assert (caught.value.rcvd and caught.value.rcvd.code) == code
            if how == "abrupt":
                assert isinstance(caught.value.__cause__, ConnectionResetError)
        with pytest.raises(LookupError):
            await kis.drop(0)


async def test_what_was_written_before_a_reset_reaches_the_client(join):
    """Also a burst that the exchange's kernel has not sent yet when the session is reset."""
    async with Simulator() as kis:
        client = await join(kis, "KR103502GD31")
        for number in range(2_000):
            kis._feed.emit(b"%d" % number, 0, binary=False)
        await kis.drop(0, "abrupt")
        for number in range(2_000):
            assert await client.receive(decode=False) == b"%d" % number
        with pytest.raises(ConnectionClosed):
            await client.receive()


async def test_refused_handshake():
    """A handshake can be refused with a status."""
    async with Simulator(faults=["handshake=502"]) as kis:
        with pytest.raises(InvalidStatus) as caught:
            async with connect(kis.websocket_url):
                pass
        assert caught.value.response.status_code == 502
        assert [each.accepted for each in kis.connects] == [False]


async def test_a_slow_reader_shows_as_a_stall(join, until):
    """A client that reads nothing counts as a stall, and is reset once too much waits for it."""
    async with Simulator(send_buffer_bytes=4 * 1024 * 1024) as kis:
        client = await join(kis, "KR103502GD31")
        client.socket.transport.pause_reading()
        with contextlib.suppress(LookupError):
            for _ in range(100):
                kis._feed.emit(b"x" * 500_000, 0, binary=False)
        assert kis.stats.stalls == 1
        await until(lambda: not kis.sessions)
        assert kis.stats.max_stall_seconds > 0
        client.socket.transport.resume_reading()
