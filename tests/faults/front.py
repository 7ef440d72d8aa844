"""A WebSocket port before the exchange that can spoil the handshake, and a redirect trap."""

import asyncio
import contextlib

ANSWERS = {
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n",
    "tls": b"\x15\x03\x03\x00\x02\x02\x28",  # a fatal TLS alert, handshake_failure
}


class Front:
    """Passes connections on, or gives the answer named by `mode`; `trapped`: redirects followed."""

    def __init__(self) -> None:
        self.mode: str | None = None
        self.refused = 0
        self.trapped = b""
        self._target = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, target: int) -> int:
        """Listen before a port, and return the port to connect to."""
        self._target = target
        self._trap = await asyncio.start_server(self._catch, "127.0.0.1", 0)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening."""
        for server in (self._server, self._trap):
            server.close()
        for task in self._tasks:
            task.cancel()

    async def _catch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.trapped += await reader.read(65536)
        writer.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.mode is None:
                await self._pass(reader, writer)
            else:
                self.refused += 1
                await reader.readuntil(b"\r\n\r\n")
                answer = ANSWERS[self.mode]
                writer.write(answer % self._trap.sockets[0].getsockname()[1] if b"%d" in answer else answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # connections may end in any way
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()

        pumps = [asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))]
        with contextlib.suppress(OSError):
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for one in pumps:
            one.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        back.close()
