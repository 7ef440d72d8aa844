"""The tests' servers as child processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kafka.process import Server, free_ports, wait_for_port

ROOT = Path(__file__).parents[2]
SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


def _ended(pid):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_server_does_not_outlive_a_parent_that_was_killed(tmp_path):
    """A server ends when its parent is killed."""
    program = (
        "import os, pathlib, signal, sys\nfrom tests.kafka.process import Server\n"
        f"server = Server({SLEEP!r}, pathlib.Path({str(tmp_path / 'log')!r}))\nserver.start()\n"
        "print(server.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    assert result.returncode == -signal.SIGKILL
    assert _ended(int(result.stdout))


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_stopped_server_can_be_started_again(tmp_path, end):
    """A stopped or killed server has ended on return, even a frozen one, and can start again."""
    server = Server(SLEEP, tmp_path / "log")
    server.start()
    first = server.pid
    server.freeze()
    end(server)
    assert not server.is_running
    assert _ended(first)
    server.start()
    try:
        assert server.is_running
        assert server.pid != first
    finally:
        server.kill()


def test_starting_twice_starts_one_process(tmp_path):
    """A second start leaves a running server alone."""
    server = Server(SLEEP, tmp_path / "log")
    server.start()
    try:
        first = server.pid
        server.start()
        assert server.pid == first
        os.kill(first, 0)
    finally:
        server.kill()


def test_a_server_that_ends_at_its_start_is_reported_with_its_output(tmp_path):
    """Waiting for an ended server's port fails at once, with the server's output."""
    server = Server((sys.executable, "-c", "print('no memory')"), tmp_path / "log")
    server.start()
    with pytest.raises(TimeoutError, match="no memory"):
        wait_for_port(free_ports(1)[0], server, time.monotonic() + 60)
    server.kill()


def test_no_port_is_given_twice():
    """Ports differ, whether they are given together, one after another, or to two processes."""
    program = "from tests.kafka.process import free_ports; print(*free_ports(600), flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = other.stdout.readline().split()
        ours = [port for _ in range(100) for port in free_ports(6)]
        other.communicate("")
    assert len({*map(int, theirs), *ours}) == 1200
