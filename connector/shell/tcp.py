"""Opens a TCP connection to whichever address of a host answers first (RFC 8305)."""

import asyncio
import socket
from typing import Final

from aiohappyeyeballs import start_connection

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
