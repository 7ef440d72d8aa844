"""One client's TCP connection and the WebSocket frames on it."""

import asyncio
import fcntl
import socket
import struct
import termios
from typing import Protocol

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

CLOSE_SECONDS = 2.0
RECEIVE_SECONDS = 1.0
ACKNOWLEDGE_SECONDS = 0.002  # between two looks
MESSAGE_BYTES = 1024 * 1024
NAMES = {Opcode.TEXT: "text", Opcode.BINARY: "binary", Opcode.PING: "ping", Opcode.PONG: "pong"}


class Peer(Protocol):
    """The receiver of what happens on a connection."""

    def handshake(self, connection: "Connection", path: str) -> int | None:
        """Return the HTTP status that refuses the handshake, or None to accept it."""

    def opened(self, connection: "Connection") -> None:
        """Handle an accepted handshake."""

    def message(self, connection: "Connection", raw: bytes, opcode: str) -> None:
        """Handle a text, binary, ping or pong message."""

    def ended(self, connection: "Connection") -> None:
        """Handle the end of the TCP connection."""

    def paused(self, connection: "Connection") -> None:
        """Handle a client that has stopped reading."""

    def resumed(self, connection: "Connection") -> None:
        """Handle a client that reads again."""


class Connection(asyncio.Protocol):
    """Turns bytes into messages for its peer, and messages into bytes. Writes never wait."""

    def __init__(self, peer: Peer, number: int) -> None:
        self.number = number
        self.silent = False
        # The `Upgrade` header of the handshake's response. None means the correct header.
        self.upgrade: str | None = None
        self.lost = asyncio.Event()
        self._peer = peer
        self._protocol = ServerProtocol(max_size=MESSAGE_BYTES)
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._opcode = Opcode.TEXT
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_ending = False

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and neither side has started to close."""
        is_up = self._protocol.state is OPEN and self._transport is not None and not self._transport.is_closing()
        return is_up and not self._is_ending

    @property
    def left_cleanly(self) -> bool:
        """Whether the client sent a close frame."""
        return self._protocol.close_rcvd is not None

    @property
    def waiting_bytes(self) -> int:
        """The number of written bytes that the socket has not accepted yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, raw: bytes, *, binary: bool = False) -> bool:
        """Send one message and return whether it was written.

        A text message may contain bytes that are not UTF-8.
        """
        if self.silent or not self.is_open:
            return False
        if binary:
            self._protocol.send_binary(raw)
        else:
            self._protocol.send_text(raw)
        self._flush()
        return True

    async def flowing(self) -> None:
        """Return once the client's socket accepts more data or is gone."""
        await self._flowing.wait()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, and later reset the connection if the client did not answer."""
        if not self.is_open:
            return
        try:
            self._protocol.send_close(code, reason)
        except InvalidState:
            return
        self._flush()
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self.reset)

    def cut(self) -> None:
        """End TCP once everything written is sent, without a close frame, as KIS usually does."""
        if self._transport is not None:
            self._transport.close()

    async def received(self) -> None:
        """Write nothing more, and return once the client's machine has all that was written.

        A reset drops what our own kernel has not sent yet. If the client stops reading, this gives
        up after a second.
        """
        self._is_ending = True
        deadline = asyncio.get_running_loop().time() + RECEIVE_SECONDS
        # The kernel tells nobody of an acknowledgement.
        while self._unacknowledged_bytes() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(ACKNOWLEDGE_SECONDS)

    def _unacknowledged_bytes(self) -> int:
        if self._transport is None or self.lost.is_set():
            return 0
        place = self._transport.get_extra_info("socket").fileno()
        (in_kernel,) = struct.unpack("i", fcntl.ioctl(place, termios.TIOCOUTQ, bytes(4)))
        return self._transport.get_write_buffer_size() + int(in_kernel)

    def reset(self) -> None:
        """End TCP with RST."""
        if self._transport is None or self.lost.is_set():
            return
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"A stream transport was expected, not {type(transport).__name__}")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read what the client sent (asyncio)."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Handshake):
                self._shake(event)
            elif isinstance(event, Frame):
                self._handle(event)
        self._flush()

    def eof_received(self) -> None:
        """Handle the end of the client's stream (asyncio). The transport closes after this."""
        self._protocol.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of TCP (asyncio)."""
        del exc
        self._flowing.set()
        self.lost.set()
        self._peer.ended(self)

    def pause_writing(self) -> None:
        """Report a full socket (asyncio)."""
        self._flowing.clear()
        self._peer.paused(self)

    def resume_writing(self) -> None:
        """Report a socket that accepts data again (asyncio)."""
        self._flowing.set()
        self._peer.resumed(self)

    def _shake(self, request: Handshake) -> None:
        status = self._peer.handshake(self, request.path)
        response = self._protocol.accept(request) if status is None else self._protocol.reject(status, "refused\n")
        if self.upgrade is not None:
            del response.headers["Upgrade"]
            response.headers["Upgrade"] = self.upgrade
        self._protocol.send_response(response)
        self._flush()
        if response.status_code == 101:
            self._peer.opened(self)

    def _handle(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.PING | Opcode.PONG:
                self._peer.message(self, bytes(frame.data), NAMES[frame.opcode])
            case Opcode.TEXT | Opcode.BINARY | Opcode.CONT:
                if frame.opcode is not Opcode.CONT:
                    self._opcode = frame.opcode
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    raw, self._parts = b"".join(self._parts), []
                    self._peer.message(self, raw, NAMES[self._opcode])
            case _:
                pass  # the websockets protocol answers a close frame by itself

    def _flush(self) -> None:
        """Write the bytes that the protocol has ready. An empty piece asks us to end TCP."""
        for data in self._protocol.data_to_send():
            if self._transport is None or self.silent or self._transport.is_closing():
                continue
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
