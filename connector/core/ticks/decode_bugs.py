"""Decides whether a frame that trips a bug of ours may become a dead letter.

One odd frame must not hold up all others. But if a bug is tripped by many frames, they are worth
more in the journal, from which a mended connector makes ticks of them.
"""

from typing import Final

MOST_IN_A_ROW: Final = 20
MOST_OF_A_MINUTE: Final = 0.01  # of the frames within a minute from such a frame, once there are more than 20
_MINUTE_NS: Final = 60 * 10**9


class DecodeBugs:
    """Counts the frames that decoding raised an exception for, by their numbers in the journal."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._latest_seq = 0
        self._minute_ns = 0  # the receive time of the minute's first such frame
        self._minute_seq = 0
        self._of_minute = 0

    def is_too_common(self, seq: int, received_ns: int) -> bool:
        """Count a frame that raised, and return whether such frames have to wait in the journal.

        A frame that is tried again continues the row.
        """
        self._in_a_row = self._in_a_row + 1 if seq <= self._latest_seq + 1 else 1
        self._latest_seq = seq
        if not 0 <= received_ns - self._minute_ns < _MINUTE_NS:
            self._minute_ns, self._minute_seq, self._of_minute = received_ns, seq, 0
        self._of_minute += 1
        frames = seq - self._minute_seq + 1
        return self._in_a_row > MOST_IN_A_ROW or self._of_minute > max(MOST_IN_A_ROW, frames * MOST_OF_A_MINUTE)
