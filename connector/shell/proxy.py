"""The HTTP proxy between us and KIS, if the settings name one."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from connector.logs import hide
from connector.shell.last_good import read_or_last_good
from connector.shell.tcp import open_tcp

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from connector.settings import KisSettings

LONGEST_ANSWER: Final = 8 * 1024
HEAD_END: Final = b"\r\n\r\n"
DEFAULT_PORT: Final = 80


class ProxyFailed(OSError):
    """The proxy made no connection for us; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that connects us to the hosts we name (HTTP CONNECT). Its password is a file."""

    url: str
    username: str | None = None
    password_file: Path | None = None

    @classmethod
    def of(cls, kis: KisSettings) -> Self | None:
        """Return the proxy of the settings. The environment's `http_proxy` is not read."""
        return cls(kis.proxy_url, kis.proxy_username, kis.proxy_password_file) if kis.proxy_url else None

    @property
    def name(self) -> str:
        """What sentences call it."""
        return f"the proxy {self.url} (kis.proxy_url)"

    def aiohttp_arguments(self) -> dict[str, Any]:
        """Return what makes an aiohttp request go through the proxy. Raises ProxyFailed."""
        # aiohttp sends this header to the proxy alone, as Proxy-Authorization.
        login = self._login()
        return {"proxy": self.url, "proxy_headers": {"Authorization": login} if login else None}

    async def open_tunnel(self, host: str, port: int) -> socket.socket:
        """Return a socket that the proxy has connected to a host. Raises ProxyFailed."""
        login, parts = self._login(), urlsplit(self.url)
        try:
            connection = await open_tcp(parts.hostname or "", parts.port or DEFAULT_PORT)
        except OSError as error:
            raise ProxyFailed(f"{self.name} could not be reached: {error}") from error
        try:
            await self._connect(connection, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", login)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _connect(self, connection: socket.socket, target: str, login: str | None) -> None:
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: kis-bond"]
        if login:
            lines.append(f"Proxy-Authorization: {login}")
        try:
            await asyncio.get_running_loop().sock_sendall(connection, "\r\n".join([*lines, "", ""]).encode())
            answer = await _read_head(connection)
        except OSError as error:
            raise ProxyFailed(f"the proxy {self.url} closed the connection: {error.strerror}") from error
        version, _, rest = answer.partition(b" ")
        is_http = version.startswith(b"HTTP/1.") and rest[:3].isdigit()
        if is_http and not rest.startswith(b"2"):
            raise ProxyFailed(refusal(self.url, int(rest[:3])))
        if not is_http or not answer.endswith(HEAD_END):
            raise ProxyFailed(f"the proxy {self.url} did not answer in HTTP: correct kis.proxy_url")

    def _login(self) -> str | None:
        if self.username is None or self.password_file is None:
            return None
        try:
            password = read_or_last_good(self.password_file)
        except OSError as error:
            raise ProxyFailed(
                f"kis.proxy_password_file: {self.password_file} could not be read ({error.strerror})"
            ) from None
        credentials = base64.b64encode(f"{self.username}:{password}".encode()).decode()
        hide(password, credentials)
        return f"Basic {credentials}"


def refusal(proxy: str, status: int) -> str:
    """Return the sentence for a proxy that answered CONNECT with this status."""
    remedy = {
        407: "check kis.proxy_username and kis.proxy_password_file",
        403: "let it connect to KIS's hosts and ports",
    }.get(status, "the proxy may not reach KIS")
    return f"the proxy {proxy} (kis.proxy_url) answered HTTP {status}: {remedy}"


async def _read_head(connection: socket.socket) -> bytes:
    """Return the proxy's answer up to its empty line, and take no byte that follows it."""
    loop, head = asyncio.get_running_loop(), bytearray()
    while not head.endswith(HEAD_END):
        byte = await loop.sock_recv(connection, 1)
        if not byte or len(head) > LONGEST_ANSWER:
            break
        head += byte
    return bytes(head)
