"""Times and deadlines."""

import asyncio

from connector.app.clock import now, rfc3339, within


def test_times_are_utc_with_milliseconds():
    """Nanoseconds since 1970 become RFC 3339 in UTC, and so does the present."""
    assert rfc3339(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123Z"
    assert now() > "2026-01-01T00:00:00.000Z"
    assert len(now()) == 24


async def test_waiting_ends_with_the_event_or_the_deadline():
    """The result says whether the event was set or the time was over."""
    event = asyncio.Event()
    assert not await within(event, 0.001)
    event.set()
    assert await within(event, None)
