"""A TCP proxy that slows, cuts, deafens or corrupts a link, in toxiproxy's words."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random

CHUNK_BYTES = 64 * 1024


@dataclass
class Toxics:
    """Faults in one direction of a link (words: Shopify/toxiproxy, README).

    `latency`: seconds for each chunk; `bandwidth`: bytes a second; `timeout`: everything is
    swallowed and the connection stays (half-open); `reset_peer`: chance for each chunk that it is
    dropped and the connection reset; `slicer`: bytes a slice; `limit_data`: bytes after which the
    connection closes; `corrupt`: chance for each chunk that one of its bits flips.
    """

    latency: float = 0
    bandwidth: float = 0
    timeout: bool = False
    reset_peer: float = 0
    slicer: int = 0
    limit_data: int | None = None
    corrupt: float = 0


class Reset(Exception):
    """Ends a connection with RST."""


@dataclass
class Link:
    """One connection through the proxy; a deaf one swallows everything and stays open."""

    writer: asyncio.StreamWriter
    is_deaf: bool = False


@dataclass
class Proxy:
    """One port before one broker: `up` is sent by clients, `down` by the broker."""

    port: int
    target_port: int
    seed: int = 1
    up: Toxics = field(default_factory=Toxics)
    down: Toxics = field(default_factory=Toxics)

    def __post_init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], Link] = {}
        self._random = Random(self.seed)
        self.connections = 0
        self.resets = 0
        self.corrupted = 0

    async def start(self) -> None:
        """Listen; after `stop`, on the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=CHUNK_BYTES)

    async def stop(self) -> None:
        """Refuse connections and reset the existing ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Reset every connection."""
        for task, link in list(self._links.items()):
            _reset(link.writer)
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def deafen(self) -> None:
        """Make existing connections half-open, without notice; new ones work."""
        for link in self._links.values():
            link.is_deaf = True

    def heal(self) -> None:
        """Remove all toxics."""
        self.up, self.down = Toxics(), Toxics()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        link = self._links[task] = Link(writer)
        self.connections += 1
        try:
            await self._join(reader, link)
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass  # a proxy's connections may end in any way
        finally:
            self._links.pop(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, link: Link) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=CHUNK_BYTES)
        pumps = [
            asyncio.create_task(self._pump(reader, broker_writer, link, "up")),
            asyncio.create_task(self._pump(broker_reader, link.writer, link, "down")),
        ]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if any(isinstance(pump.exception(), Reset) for pump in done):
                self.resets += 1
                _reset(link.writer)
                _reset(broker_writer)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            broker_writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link, direction: str
    ) -> None:
        passed = 0
        while chunk := await reader.read(CHUNK_BYTES):
            if link.is_deaf:
                continue
            async for part in self._poisoned(chunk, self.up if direction == "up" else self.down):
                writer.write(part)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                passed += len(part)
            limit = (self.up if direction == "up" else self.down).limit_data
            if limit is not None and passed >= limit:
                return

    async def _poisoned(self, chunk: bytes, toxics: Toxics) -> AsyncIterator[bytes]:
        if toxics.timeout:
            return
        if toxics.reset_peer and self._random.random() < toxics.reset_peer:
            raise Reset
        if toxics.latency:
            await asyncio.sleep(toxics.latency)
        if toxics.corrupt and self._random.random() < toxics.corrupt:
            self.corrupted += 1
            place = self._random.randrange(len(chunk))
            chunk = chunk[:place] + bytes([chunk[place] ^ 1 << self._random.randrange(8)]) + chunk[place + 1 :]
        size = toxics.slicer or len(chunk)
        for start in range(0, len(chunk), size):
            part = chunk[start : start + size]
            if toxics.bandwidth:
                await asyncio.sleep(len(part) / toxics.bandwidth)
            yield part


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    made = writer.get_extra_info("socket")
    if made is not None and made.fileno() >= 0:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
