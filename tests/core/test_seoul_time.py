"""Tests of times as people in Seoul read them."""

from datetime import UTC, datetime

from connector.core import seoul_time


def test_times_are_those_of_seoul():
    """Seoul is nine hours ahead of UTC, and a date changes with it."""
    at = datetime(2026, 1, 2, 15, 4, 5, 678_000, tzinfo=UTC)
    assert (seoul_time.clock(at), seoul_time.date_and_clock(at)) == ("00:04:05", "01-03 00:04:05")


def test_a_records_time():
    """A record's time is shown likewise; what is none stays as it stands."""
    assert seoul_time.of_rfc3339("2026-01-02T15:04:05.678Z") == "01-03 00:04:05"
    assert [seoul_time.of_rfc3339(text) for text in (None, "", "soon", "2026-01-02T15:04:05")] == [
        *("-", "-", "soon", "2026-01-02T15:04:05"),
    ]
