"""The WebSocket connection to KIS, without the library's features that KIS does not expect."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri
from yarl import URL

from connector.logs import clean
from connector.shell.kis.gather import gather_of
from connector.shell.proxy import ProxyFailed
from connector.shell.tcp import open_tcp
from connector.shell.unreachable import explain_unreachable

if TYPE_CHECKING:
    from websockets.protocol import Event
    from websockets.typing import BytesLike

    from connector.shell.proxy import Proxy

MAX_FRAME_BYTES: Final = 1024 * 1024
MESSAGE_BYTES: Final = 100  # what Python needs for a message beside its bytes
OPEN_TIMEOUT_SECONDS: Final = 10.0
CLOSE_TIMEOUT_SECONDS: Final = 2.0
MOST_UNSENT_BYTES: Final = 1024 * 1024
# Half of the library's high-water mark. While no more is unsent, a send does not wait for the peer.
UNSENT_BYTES: Final = 16 * 1024
LONGEST_CAUSE: Final = 400
TCP_ESTABLISHED: Final = 1  # of include/net/tcp_states.h


class KisSocket(ClientConnection):
    """Hands over all messages of one read at once, and tells binary messages from text.

    The library's `recv` hands over one message at a time, and does not tell the kinds apart.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._messages: list[tuple[bool, bytes]] = []
        self._queued_bytes = 0
        self._is_held = False
        self._partial = bytearray()  # the fragments of a message so far; `max_size` bounds them
        self._partial_is_binary = False
        self._changed = asyncio.Event()
        self._gather = gather_of(asyncio.get_running_loop())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Share what is read in one moment with the other sockets."""
        super().connection_made(transport)
        self._gather.opened()

    async def receive(self) -> list[tuple[bool, bytes]]:
        """Wait for messages, and return all that have arrived, oldest first.

        Each is a pair: whether it is binary, and its bytes.
        Raises ConnectionClosed if the connection has ended and all messages were returned.
        """
        while not self._messages:
            if self.connection_lost_waiter.done():
                raise self.close_exc
            self._changed.clear()
            await self._changed.wait()
        messages, self._messages, self._queued_bytes = self._messages, [], 0
        if self._is_held:
            self.read_on()
        return messages

    def data_received(self, data: bytes) -> None:
        """Queue what has arrived, and let what arrives next gather in the kernel's buffer."""
        super().data_received(data)
        if self._messages:
            self.transport.pause_reading()
            self._gather.arrived(self)

    def hand_over(self) -> None:
        """Let `receive` return what has arrived."""
        self._changed.set()

    def read_on(self) -> None:
        """Read again, unless its share waits to be taken; `receive` then calls this again."""
        share = self._gather.share
        self._is_held = self._queued_bytes > share
        if not self._is_held:
            # The most that asyncio's transport reads at once, 256 KiB unless it is told.
            self.transport.max_size = share  # type: ignore[attr-defined]
            self.transport.resume_reading()

    def process_event(self, event: Event) -> None:
        """Queue messages; leave the handshake and control frames to the library."""
        if not isinstance(event, Frame):
            super().process_event(event)
        elif event.opcode is Opcode.TEXT and event.fin:  # nearly every frame
            self._queue(event.data, is_binary=False)
        elif event.opcode in DATA_OPCODES:
            self._queue_fragment(event)
        elif event.opcode is Opcode.PING and self.transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            # The library answers each ping at once, even if the peer never reads the answers.
            self.transport.abort()
        else:
            super().process_event(event)

    def _queue(self, raw: BytesLike, *, is_binary: bool) -> None:
        self._messages.append((is_binary, bytes(raw)))
        self._queued_bytes += len(raw) + MESSAGE_BYTES

    def _queue_fragment(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._partial_is_binary = frame.opcode is Opcode.BINARY
        self._partial += frame.data
        if frame.fin:
            self._queue(self._partial, is_binary=self._partial_is_binary)
            self._partial.clear()

    def send_data(self) -> None:
        """Write what waits to be sent, unless the peer has ended the connection.

        A write that fails would close the connection at once, and lose all that the peer sent
        before its end and that we have not read yet.
        """
        if self._peer_has_ended():
            self.protocol.data_to_send()
        else:
            super().send_data()

    def _peer_has_ended(self) -> bool:
        """Return whether the kernel knows the connection's end, which may be still unread."""
        connection: socket.socket = self.transport.get_extra_info("socket")
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_ESTABLISHED

    def connection_lost(self, exc: Exception | None) -> None:
        """Let `receive` see the end of the connection."""
        super().connection_lost(exc)
        self._gather.closed()
        self._changed.set()

    async def send_at_once(self, text: str) -> bool:
        """Send a text frame without waiting for the peer; return False if it could not be sent."""
        if self.state is not OPEN or self.transport.get_write_buffer_size() > UNSENT_BYTES:
            return False
        try:
            await self.send(text)
        except ConnectionClosed:
            return False
        return True


class _Connect(connect):
    """A handshake without redirects: our first request would give another host the approval key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the redirect as an error, so that the library does not follow it."""
        return exc


async def open_socket(url: str, proxy: Proxy | None = None) -> KisSocket:
    """Connect, through the proxy if one is given.

    Raises OSError, TimeoutError or a WebSocketException if that fails.
    """
    connection: socket.socket | None = None
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
            target = parse_uri(url)
            connection = await (proxy.open_tunnel if proxy else open_tcp)(target.host, target.port)
            try:
                return await _open_websocket(url, connection)
            except BaseException:
                connection.close()
                raise
    except TimeoutError:
        if proxy and connection is None:
            raise ProxyFailed(f"{proxy.name} made no connection within {OPEN_TIMEOUT_SECONDS:g} s") from None
        raise TimeoutError(f"there was no answer within {OPEN_TIMEOUT_SECONDS:g} s") from None


async def _open_websocket(url: str, connection: socket.socket) -> KisSocket:
    # At DEBUG the library logs every frame, including approval key, AES key and IV.
    logger = logging.getLogger("websockets.client")
    if logger.getEffectiveLevel() < logging.INFO:
        logger.setLevel(logging.INFO)
    opened = await _Connect(
        url,
        sock=connection,
        # KIS drops clients that send their own pings, so the session watches for silence.
        ping_interval=None,
        proxy=None,
        compression=None,
        user_agent_header="kis-bond",
        open_timeout=None,
        close_timeout=CLOSE_TIMEOUT_SECONDS,
        max_size=MAX_FRAME_BYTES,
        logger=logger,
        create_connection=KisSocket,
    )
    if not isinstance(opened, KisSocket):
        raise TypeError(f"The library built a {type(opened).__name__}")
    return opened


async def why_not_open(error: Exception, url: str) -> tuple[str | None, str]:
    """Return code and message for a connection to this URL that could not be opened."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return str(status), f"The WebSocket handshake was answered with HTTP {status}"
    cause = await explain_unreachable(
        error,
        URL(url),
        address_setting="kis.websocket_url",
        authority_setting="this machine's list of authorities",
    )
    return None, f"The WebSocket could not be opened: {clean(cause, LONGEST_CAUSE)}"
