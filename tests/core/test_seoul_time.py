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


def test_a_time_that_no_calendar_reaches_is_shown():
    """Others write any time; one beyond the year 9999 breaks no table."""
    assert seoul_time.of_rfc3339("9999-12-31T23:59:59Z") == "-"
    assert seoul_time.clock(datetime(9999, 12, 31, 23, tzinfo=UTC)) == "-"
    assert seoul_time.of_epoch(0) == "01-01 09:00:00"
    assert [seoul_time.of_epoch(seconds) for seconds in (10**12, 10**16, 10**30)] == ["-"] * 3
