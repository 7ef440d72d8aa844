"""Times as records and pages show them: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the present time."""
    return _text(datetime.now(UTC))


def rfc3339(ns: int) -> str:
    """Return the time given as nanoseconds since 1970."""
    return _text(datetime.fromtimestamp(ns / 1e9, UTC))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
