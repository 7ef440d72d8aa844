"""Shows on stderr how far a long command is."""

from __future__ import annotations

import sys
import time
from typing import Final

from connector.cli.output import say

TERMINAL_SECONDS: Final = 0.2
LOG_SECONDS: Final = 10.0


class Progress:
    """One line that is written over on a terminal; elsewhere a new line every ten seconds.

    A command that is quick shows nothing.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._pause = TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS
        self._next = time.monotonic() + self._pause
        self._is_shown = False

    def show(self, text: str) -> None:
        """Show a short text of our own, if the last one has stood long enough."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._pause
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._is_shown = True
        else:
            say(text, err=True)

    def end(self) -> None:
        """Remove the line from the terminal."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_shown = False
