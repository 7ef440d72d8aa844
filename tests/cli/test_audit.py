"""`kis-bond audit` as a process."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kafka.process import free_ports

ROOT = Path(__file__).parents[2]


def environment(**given):
    """Return the environment of an auditor whose Kafka nobody runs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KIS_BOND_")}
    own = {"KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "AUDIT__HTTP_PORT": "0"} | given
    return clean | {f"KIS_BOND_{name}": str(value) for name, value in own.items()}


def answers(port):
    """Return whether something listens on the port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"AUDIT__GAP_WAIT_SECONDS": "x"}, "audit.gap_wait_seconds (KIS_BOND_AUDIT__GAP_WAIT_SECONDS)"),
        ({"AUDIT__CREDENTIALS_DIR": "/nowhere"}, "audit.credentials_dir: /nowhere"),
    ],
)
def test_wrong_settings_end_it_with_two(given, problem):
    """A wrong setting ends it with 2 before any connection, and the message names the setting."""
    command = [sys.executable, "-m", "connector", "audit"]
    done = subprocess.run(
        command, env=environment(**given), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert problem in done.stderr


def test_sigterm_ends_it_with_zero():
    """Without Kafka it serves its endpoints and waits; SIGTERM ends it with 0."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "connector", "audit"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment(AUDIT__HTTP_PORT=port), cwd=ROOT, **quiet) as process:
        try:
            deadline = time.monotonic() + 60
            while not answers(port):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
