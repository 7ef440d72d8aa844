"""Opens a TCP connection to whichever address of a host answers first (RFC 8305)."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final

from aiohappyeyeballs import start_connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

NEXT_ADDRESS_SECONDS: Final = 0.25  # as RFC 8305 recommends


async def open_tcp(host: str, port: int) -> socket.socket:
    """Return a connected socket. Raises OSError if the name is unknown or no address answers.

    Some addresses never answer, so the next one is tried while an earlier one is still silent.
    asyncio's own race between addresses leaves a socket open if it is cancelled.
    """
    try:
        addresses = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is not a host name") from error
    return await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)


async def open_transport(
    factory: Callable[[], asyncio.Protocol], host: str, port: int, tls: ssl.SSLContext | None
) -> tuple[Any, asyncio.Protocol]:
    """Return transport and protocol of a new connection; if this is cancelled, leave nothing open.

    Raises what `open_tcp` raises, and ssl.SSLError. If asyncio is cancelled just after a TLS
    handshake, it waits up to 30 s for the peer's farewell, and nobody owns the connection then.
    """
    connection = await open_tcp(host, port)
    protocol, made = factory(), []
    connection_made = protocol.connection_made

    def note_and_pass_on(transport: Any) -> None:
        made.append(transport)
        connection_made(transport)

    protocol.connection_made = note_and_pass_on  # type: ignore[method-assign]
    try:
        return await asyncio.get_running_loop().create_connection(
            lambda: protocol, sock=connection, ssl=tls, server_hostname=host if tls else None
        )
    except BaseException:
        for transport in made:
            transport.abort()
        raise
