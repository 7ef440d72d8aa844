"""A crash leaves no core, and nobody of the same user looks into the process."""

import subprocess
import sys

SCRIPT = """
import ctypes, resource
from connector.cli.memory_protection import forbid_dumps
forbid_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_no_core_and_not_dumpable():
    """The limit is 0 and PR_GET_DUMPABLE says 0."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
