"""Decides whether a frame that trips a bug of ours may become a dead letter.

One odd frame must not hold up all others. But if a bug is tripped by many frames, they are worth
more in the journal, from which a mended connector makes ticks of them.
"""

from typing import Final

MOST_IN_A_ROW: Final = 20
MOST_OF_A_MINUTE: Final = 0.01  # of the frames received in one minute, once MOST_IN_A_ROW have tripped a bug
_MINUTE_NS: Final = 60 * 10**9


class DecodeBugs:
    """Counts the frames that decoding raised an exception for."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._minute = 0
        self._frames = 0
        self._bugs = 0

    def note_decoded(self, frames: int, received_ns: int) -> None:
        """Count frames, received about then, that were decoded without an exception."""
        self._begin(received_ns)
        self._in_a_row = 0
        self._frames += frames

    def is_too_common(self, received_ns: int) -> bool:
        """Count a frame that raised, and return whether such frames have to wait in the journal."""
        self._begin(received_ns)
        self._in_a_row += 1
        self._frames += 1
        self._bugs += 1
        return self._in_a_row > MOST_IN_A_ROW or (
            self._bugs > MOST_IN_A_ROW and self._bugs > self._frames * MOST_OF_A_MINUTE
        )

    def _begin(self, received_ns: int) -> None:
        minute = received_ns // _MINUTE_NS
        if minute != self._minute:
            self._minute, self._frames, self._bugs = minute, 0, 0
