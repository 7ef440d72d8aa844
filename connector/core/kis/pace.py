"""How fast requests may follow one another on one session, and how many bonds it may hold."""

from dataclasses import dataclass

# KIS answers in milliseconds. A reply missing for this many timeouts is taken as lost.
LOST_AFTER_TIMEOUTS = 3.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings `kis.*` that bound requests: seconds, and registrations per session."""

    register_interval: float
    reply_timeout: float
    session_capacity: int
    retry_min: float
    retry_max: float

    @property
    def lost_after(self) -> float:
        """Seconds after a request when we stop expecting its reply."""
        return LOST_AFTER_TIMEOUTS * self.reply_timeout

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait before we ask again, after that many failures."""
        return min(self.retry_max, self.retry_min * 2.0 ** min(failures, 16))
