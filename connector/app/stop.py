"""Whether the connector has to stop, and why: a signal, a call, or app keys that KIS refuses."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.errors import CredentialsRefused

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """`reason` is None until a stop is asked for; `refusal` is the error to end with, or None."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.refusal: CredentialsRefused | None = None
        self.is_asked = asyncio.Event()
        self.is_urgent = asyncio.Event()

    def ask(self, reason: str) -> None:
        """Ask for an orderly stop; if a stop was asked for before, its reason stays."""
        self.reason = self.reason or reason
        self.is_asked.set()

    def refuse(self, refusal: CredentialsRefused) -> None:
        """Ask for a stop that ends with this error."""
        self.refusal = refusal
        self.ask("KIS refused every app key")

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Within the block, SIGTERM or SIGINT asks for a stop, and a second one makes it urgent."""
        loop = asyncio.get_running_loop()
        replaced = {}
        for number in SIGNALS:
            handler = signal.getsignal(number)
            # Only the main thread's event loop can handle signals; on Windows, no event loop can.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(number, self._on_signal, number.name)
                replaced[number] = handler
        try:
            yield
        finally:
            for number, handler in replaced.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler or signal.SIG_DFL)

    def _on_signal(self, name: str) -> None:
        if self.is_asked.is_set():
            self.is_urgent.set()
        self.ask(name)
