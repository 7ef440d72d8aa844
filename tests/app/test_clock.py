"""Times in records and pages."""

from connector.app.clock import now, rfc3339


def test_times_are_utc_with_milliseconds():
    """Nanoseconds since 1970 become RFC 3339 in UTC, and so does the present."""
    assert rfc3339(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123Z"
    assert now() > "2026-01-01T00:00:00.000Z"
    assert len(now()) == 24
