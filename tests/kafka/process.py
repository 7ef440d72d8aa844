"""One Java server as a child process that does not outlive its parent."""

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_SECONDS = 20
PORTS_OF_A_BLOCK = 250


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback that nobody uses, and that nobody else is given.

    They are below the system's range for outgoing connections, which could otherwise occupy the
    port of a server that is away.
    """
    found: list[int] = []
    while len(found) < count:
        with _ports_lock:
            port = next(_ports)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found


def _own_ports() -> Iterator[int]:
    """Yield ports, each once, from blocks that no other test process of this user has."""
    folder = Path(tempfile.gettempdir()) / f"kis-bond-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    blocks = range(10_000, 32_000, PORTS_OF_A_BLOCK)
    for first in random.sample(blocks, len(blocks)):
        lock = os.open(folder / str(first), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends
        except OSError:
            os.close(lock)
            continue
        yield from random.sample(range(first, first + PORTS_OF_A_BLOCK), PORTS_OF_A_BLOCK)
    raise RuntimeError("Every port was given away.")


_ports = _own_ports()
_ports_lock = threading.Lock()


def wait_for_port(port: int, server: "Server", deadline: float) -> None:
    """Return once the port accepts a connection. Raises `TimeoutError` with the output's end."""
    while True:
        if not server.is_running:
            raise TimeoutError(f"The server ended at its start:\n{server.last_output()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"The server did not listen on port {port} in time:\n{server.last_output()}")
        time.sleep(0.05)


@dataclass
class Server:
    """A command that can be started, stopped, killed and frozen any number of times."""

    command: Sequence[str]
    log: Path
    cwd: Path | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _guard: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("The server was not started")
        return self._process.pid

    def start(self) -> None:
        """Start the process unless it runs."""
        if self.is_running:
            return
        self.stop()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd, start_new_session=True
            )
        # The pipe closes however this process ends, and then the guard ends the server.
        # PR_SET_PDEATHSIG would follow the calling thread instead.
        self._guard = subprocess.Popen(
            [shutil.which("sh") or "/bin/sh", "-c", f"read _; kill -KILL {self._process.pid}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        """Ask the process to end (SIGTERM), then insist (SIGKILL) after 20 s."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process where it is (SIGSTOP); its sockets stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process continue (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def last_output(self) -> str:
        """Return the end of what the process printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:]) if self.log.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        if self._process is None:
            return
        self._signal(number)
        self._signal(signal.SIGCONT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
