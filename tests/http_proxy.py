"""A real HTTP proxy that asks for a login: Debian's tinyproxy."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.kafka.jars import Unavailable
from tests.kafka.process import Server, free_ports, wait_for_port

START_SECONDS = 20
USER, PASSWORD = "bond", "canary-proxy-password"
CONFIGURATION = """\
Port {port}
Listen 127.0.0.1
Timeout 600
MaxClients 100
LogLevel Connect
BasicAuth {user} {password}
"""


def program() -> str | None:
    """Return the path of tinyproxy, or None."""
    return shutil.which("tinyproxy", path="/usr/sbin:/usr/bin:/usr/local/bin")


def why_no_proxy() -> str | None:
    """Return why there is no proxy here, or None."""
    return None if program() else "it needs tinyproxy, which is not installed: make access-test"


class HttpProxy:
    """A proxy on the loopback; `settings` are those of a connector behind it."""

    def __init__(self) -> None:
        found = program()
        if found is None:
            raise Unavailable("tinyproxy is not installed")
        (self._port,) = free_ports(1)
        self._folder = Path(tempfile.mkdtemp(prefix="kis-bond-http-proxy-"))
        configuration, password = self._folder / "tinyproxy.conf", self._folder / "password"
        configuration.write_text(CONFIGURATION.format(port=self._port, user=USER, password=PASSWORD))
        password.write_text(f"{PASSWORD}\n")
        self.server = Server([found, "-d", "-c", str(configuration)], self._folder / "log")
        self.url = f"http://127.0.0.1:{self._port}"
        self.settings = {
            "KIS__PROXY_URL": self.url,
            "KIS__PROXY_USERNAME": USER,
            "KIS__PROXY_PASSWORD_FILE": str(password),
        }

    def start(self) -> None:
        """Start, and return once it listens."""
        self.server.start()
        wait_for_port(self._port, self.server, time.monotonic() + START_SECONDS)

    def requests(self, method: str) -> int:
        """Return how many requests of this method came, such as CONNECT."""
        return self.server.log.read_text(errors="replace").count(f": {method} ")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
