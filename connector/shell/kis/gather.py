"""Lets frames that come closely together go the whole way together, from whichever sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

# Frames that arrive within this time after others are read together: one read, one write to the
# journal, one decoding, one departure. A frame after a pause is read at once. Longer would save
# little CPU, and half of it is added to the latency of every tick.
GATHER_SECONDS: Final = 0.002
# What all sockets together read in one moment, and then hold until it is taken.
READ_BYTES: Final = 1024 * 1024
MOST_BYTES, LEAST_BYTES = 256 * 1024, 8 * 1024  # of one socket


class Gathered(Protocol):
    """A socket that waits for the end of a moment."""

    def read_on(self) -> None:
        """Read again what has arrived."""
        ...

    def hand_over(self) -> None:
        """Let the reader have the messages."""
        ...


class Gather:
    """The sockets of one event loop, which read and hand over at the same moments.

    The first arrival after a pause begins a moment of GATHER_SECONDS. What is read in its first
    turn of the loop is handed over at once, everything else at its end.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._open = 0
        self._sockets: list[Gathered] = []
        self._late: list[Gathered] = []
        self._is_first_turn = True

    def opened(self) -> None:
        """Count one socket more."""
        self._open += 1

    def closed(self) -> None:
        """Count one socket less."""
        self._open -= 1

    @property
    def share(self) -> int:
        """How many bytes each socket may read in one moment, however many sockets are open."""
        return min(MOST_BYTES, max(LEAST_BYTES, READ_BYTES // max(1, self._open)))

    def arrived(self, socket: Gathered) -> None:
        """Hand over the socket's messages in time; it must read nothing until `read_on`."""
        if not self._sockets:
            self._loop.call_later(GATHER_SECONDS, self._end)
            self._loop.call_soon(self._end_first_turn)
            self._is_first_turn = True
        self._sockets.append(socket)
        if self._is_first_turn:
            socket.hand_over()
        else:
            self._late.append(socket)

    def _end_first_turn(self) -> None:
        self._is_first_turn = False

    def _end(self) -> None:
        sockets, late = self._sockets, self._late
        self._sockets, self._late = [], []
        for socket in sockets:
            socket.read_on()
        for socket in late:  # a turn later, together with what is read in that turn
            self._loop.call_soon(socket.hand_over)


_gathers: Final[WeakKeyDictionary[AbstractEventLoop, Gather]] = WeakKeyDictionary()


def gather_of(loop: AbstractEventLoop) -> Gather:
    """Return the one of this event loop."""
    if loop not in _gathers:
        _gathers[loop] = Gather(loop)
    return _gathers[loop]
