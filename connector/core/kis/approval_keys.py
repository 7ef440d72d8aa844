"""One slot's approval key: how long it is reused, and when we may ask for the next one.

Times are monotonic seconds.
"""

from __future__ import annotations

# Several public clients wait this long. KIS documents one key a second for this call, and one token
# a minute for /oauth2/tokenP.
KEY_SPACING_SECONDS = 60.0


class ApprovalKeys:
    """The approval key in use, and when we may ask for the next one."""

    def __init__(self, reuse_seconds: float) -> None:
        self._reuse_seconds = reuse_seconds
        self._key: str | None = None
        self._issued_at: float | None = None
        self._spaced_from: float | None = None

    def issued(self, key: str, now: float) -> None:
        """Record a key that KIS issued at `now`."""
        self._key = key
        self._issued_at = self._spaced_from = now

    def may_be_issued(self, now: float) -> None:
        """Record that we asked at `now` and did not wait for the answer."""
        self._spaced_from = now

    def discard(self) -> None:
        """Forget a key that KIS refused; `next_issue_at` stays as it is."""
        self._key = None

    def usable(self, now: float) -> str | None:
        """Return the key if it is young enough for a new connection, else None."""
        return self._key if now < self.expires_at else None

    def age(self, now: float) -> float | None:
        """Return the seconds since KIS issued the key in use, or None if no key is in use."""
        return None if self._key is None or self._issued_at is None else now - self._issued_at

    @property
    def expires_at(self) -> float:
        """When the key becomes too old for a new connection or request."""
        return float("-inf") if self._issued_at is None else self._issued_at + self._reuse_seconds

    @property
    def next_issue_at(self) -> float:
        """The earliest time at which we may ask for the next key."""
        return float("-inf") if self._spaced_from is None else self._spaced_from + KEY_SPACING_SECONDS
