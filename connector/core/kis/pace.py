"""How fast requests may follow one another on one session, and how many bonds it may hold."""

from dataclasses import dataclass

# KIS answers in milliseconds. After this many timeouts a missing reply counts as lost.
LOST_AFTER_TIMEOUTS = 3.0
# KIS blocks clients that register in a loop, and an error may last all day: OPSP0009 also refuses
# bonds that KIS does not have.
LONGEST_RETRY_SECONDS = 1800.0


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
        """Return how many seconds to wait before we repeat a request after this many failures."""
        return min(self.retry_max, self._doubled(failures))

    def backoff_of_error(self, failures: int) -> float:
        """Return how many seconds to wait after this many errors that may pass."""
        return min(max(self.retry_max, LONGEST_RETRY_SECONDS), self._doubled(failures))

    def _doubled(self, failures: int) -> float:
        return self.retry_min * 2.0 ** min(failures, 16)
