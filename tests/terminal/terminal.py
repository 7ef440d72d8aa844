"""Runs commands in a terminal of 80 columns and 24 lines, and returns what they drew."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager
from pathlib import Path

COLUMNS, LINES = 80, 24
HOME = "\x1b[H"  # begins each drawing of a live screen
ROOT = Path(__file__).parents[2]
# Relative, because what the demo prints of it has to fit a line wherever the checkout is.
PROGRAM = os.path.relpath(Path(sys.executable).with_name("kis-bond"), ROOT)


class Terminal:
    """One program in a terminal of its own; `drawn` is everything it has sent there."""

    def __init__(self, arguments, environment, columns=COLUMNS, lines=LINES):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR", "CI"}}
        self.process = subprocess.Popen(
            [PROGRAM, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            cwd=ROOT,
            env=kept | {"TERM": "xterm-256color"} | environment,
        )
        os.close(slave)
        self.drawn = ""

    def wait_for(self, condition, seconds=60):
        """Return what `condition` finds in the latest screen, as soon as it finds anything."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition(self.screen()):
                return found
            if not self._read():
                break
        raise AssertionError(f"was not seen: {self.drawn[-4000:]!r}")

    def finish(self, seconds=60):
        """Return everything drawn, once the program has ended."""
        deadline = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < deadline, self.drawn[-4000:]
        self.process.wait(seconds)
        return self.drawn

    def screen(self):
        """Return the latest whole drawing of a live screen, else everything."""
        drawings = self.drawn.split(HOME)
        return (drawings[-2] if len(drawings) > 2 else drawings[-1]).replace("\r\n", "\n")

    def close(self):
        """End the program, whatever it does."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self):
        """Add what the program sends within a second; return whether it may send more."""
        if not select.select([self._master], [], [], 1)[0]:
            return True
        try:
            found = os.read(self._master, 65_536)
        except OSError:  # Linux says so when the last process of the terminal has ended
            return False
        self.drawn += found.decode(errors="replace")
        return bool(found)


@contextmanager
def demo(folder, *options):
    """Give the terminal of a running demo, and the variables for a second terminal.

    Its files are in `folder`, which has to be as short as that of a user.
    """
    terminal = Terminal(["demo", *options], {"TMPDIR": str(folder)})
    try:
        path = terminal.wait_for(lambda screen: re.search(r"export KIS_BOND_CONFIG=([^\s\x1b]+)", screen))[1]
        yield terminal, {"KIS_BOND_CONFIG": path}
    finally:
        terminal.close()


def output(arguments, environment, columns=COLUMNS):
    """Return what a command draws on a terminal until its end, with colours."""
    terminal = Terminal(arguments, environment, columns)
    try:
        return terminal.finish().replace("\r\n", "\n")
    finally:
        terminal.close()


def interrupt(terminal):
    """Press Ctrl-C."""
    terminal.process.send_signal(signal.SIGINT)
