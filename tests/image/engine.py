"""A Docker engine for the tests of the image: one that answers, or a dockerd of our own."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kafka.jars import Unavailable
from tests.kafka.process import Server

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "docker"
SOCKET = "unix:///var/run/docker.sock"
START_SECONDS = 180
STOP_SECONDS = 30
CLIENT_WITH_ITS_OWN_BUILDKIT = 22  # later ones build with the buildx plugin


@dataclass
class Engine:
    """An engine that answers at `host`; `client` is the program that talks to it."""

    host: str
    client: str
    is_own: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that lead Docker's clients to this engine."""
        return os.environ | {"DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1"}

    def docker(self, *arguments: str, **options: Any) -> str:
        """Run the client and return its output. Raises `AssertionError` if it fails."""
        return run([self.client, *arguments], env=self.environment, **options)


def run(command: Sequence[str], **options: Any) -> str:
    """Run a program and return its output. Raises `AssertionError` if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, (
        f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-6000:]}"
    )
    return done.stdout


@contextlib.contextmanager
def engine() -> Iterator[Engine]:
    """Give the engine at `DOCKER_HOST` or the usual socket, or else one of our own."""
    client = _client()
    host = os.environ.get("DOCKER_HOST", SOCKET)
    if _answers(host):
        yield Engine(host, client)
        return
    with _dockerd() as own:
        yield Engine(own, client, is_own=True)


def _client() -> str:
    """Return a client that can build with secrets. Raises `Unavailable`."""
    found = [
        path for path in dict.fromkeys([shutil.which("docker"), "/usr/bin/docker"]) if path and Path(path).exists()
    ]
    for path in found:
        version = re.search(r"version (\d+)", run([path, "--version"]))
        if version and int(version[1]) <= CLIENT_WITH_ITS_OWN_BUILDKIT:
            return path
        if subprocess.run([path, "buildx", "version"], capture_output=True, check=False).returncode == 0:
            return path
    raise Unavailable(
        f"of the Docker clients {found} none has BuildKit: install buildx" if found else "no docker on the PATH"
    )


def _answers(host: str) -> bool:
    if not host.startswith("unix://"):
        return True  # the client will say what is wrong with it
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(host.removeprefix("unix://")) == 0


@contextlib.contextmanager
def _dockerd() -> Iterator[str]:
    """Run a dockerd that keeps its builds in `.cache/` and give its address."""
    program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Unavailable(
            f"no engine answers at {os.environ.get('DOCKER_HOST', SOCKET)}, and there is no dockerd on the PATH"
        )
    if os.geteuid() != 0:
        raise Unavailable("no engine answers, and a dockerd of our own needs root")
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kis-bond-docker-"))
    server = Server(_command(program, folder), folder / "dockerd.log")
    with (CACHE.parent / "docker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            server.start()
            host = f"unix://{folder / 'docker.sock'}"
            _wait(host, server)
            yield host
        finally:
            _stop(server)
            shutil.rmtree(folder, ignore_errors=True)


def _command(program: str, folder: Path) -> list[str]:
    return [
        # Whatever ends `unshare` ends its namespace's processes (engine, containers) and mounts.
        *("unshare", "--fork", "--pid", "--mount-proc", "--kill-child=KILL", program),
        *(
            f"--host=unix://{folder}/docker.sock",
            f"--data-root={CACHE}",
            f"--exec-root={folder}/exec",
            f"--pidfile={folder}/pid",
        ),
        *("--iptables=false", "--bridge=none"),  # containers use the host's network, whose rules stay as they are
    ]


def _wait(host: str, server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(host):
        if not server.is_running or time.monotonic() > deadline:
            raise Unavailable(f"dockerd did not start: {server.last_output()[-1500:]}")
        time.sleep(0.1)


def _stop(server: Server) -> None:
    """End dockerd in order, then the rest of its namespace; `unshare` passes no signal on."""
    if server.is_running:
        for child in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while server.is_running and time.monotonic() < deadline:
            time.sleep(0.05)
    server.kill()
