"""How fast requests may follow one another on one session, and how many bonds it may hold."""

from dataclasses import dataclass

# KIS answers in milliseconds. After this many timeouts a missing reply counts as lost.
LOST_AFTER_TIMEOUTS = 3.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings `kis.*` that limit requests.

    `session_capacity` is a number of registrations. All other values are seconds.
    """

    register_interval: float
    reply_timeout: float
    session_capacity: int
    retry_min: float
    retry_max: float

    @property
    def lost_after(self) -> float:
        """How many seconds after a request we stop expecting its reply."""
        return LOST_AFTER_TIMEOUTS * self.reply_timeout

    def backoff(self, failures: int) -> float:
        """Return how many seconds to wait before we ask again after this many failures."""
        return min(self.retry_max, self.retry_min * 2.0 ** min(failures, 16))
