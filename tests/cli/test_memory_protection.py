"""Tests that a crash leaves no core dump and no other process can attach."""

import subprocess
import sys

SCRIPT = """
import ctypes, resource
from connector.cli.memory_protection import forbid_dumps
forbid_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_no_core_and_not_dumpable():
    """The core limit is 0, and the process is not dumpable."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
