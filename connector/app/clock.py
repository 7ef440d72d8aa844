"""The present: as records and pages show it, RFC 3339 in UTC, and whether the market is open."""

from __future__ import annotations

from datetime import UTC, datetime

from connector.core.market_calendar import is_open


def now() -> str:
    """Return the present time."""
    return _text(datetime.now(UTC))


def market_is_open() -> bool:
    """Return whether the bond market is open at present, according to its calendar."""
    return is_open(datetime.now(UTC))


def rfc3339(ns: int) -> str:
    """Return the time given as nanoseconds since 1970."""
    return _text(datetime.fromtimestamp(ns / 1e9, UTC))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
