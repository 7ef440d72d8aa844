"""The times of a trade date."""

from datetime import date

import pytest

from connector.core.coverage import dates
from tests.core.coverage.trades import FRIDAY, MONDAY, at, is_weekday


def test_a_date_begins_and_ends_in_seoul():
    """Midnight and 15:35 are Seoul's."""
    assert dates.start_ms(FRIDAY) == at("00:00")
    assert dates.opens_ms(FRIDAY) == at("09:00")
    assert dates.over_ms(FRIDAY) == at("15:35")
    assert dates.seoul_date(at("00:00")) == FRIDAY
    assert dates.seoul_date(at("00:00") - 1) == date(2026, 9, 10)


def test_a_friday_is_forgotten_on_monday_morning():
    """A date leaves memory at 09:00 of the next trading day."""
    assert dates.forgotten_ms(FRIDAY, is_weekday) == at("09:00", MONDAY)


@pytest.mark.parametrize(
    ("now", "day", "has"),
    [
        ("10:00", MONDAY, True),
        ("10:00", FRIDAY, True),
        ("10:00", date(2026, 9, 12), True),
        ("10:00", date(2026, 9, 10), False),
        ("10:00", date(2026, 9, 15), False),
    ],
)
def test_holes_of_today_and_of_the_trading_day_before_are_announced(now, day, has):
    """On a Monday that is the Friday; older dates are a replay."""
    assert dates.has_events(day, at(now, MONDAY), is_weekday) is has


def test_a_calendar_without_trading_days_hangs_nobody():
    """The next calendar day stands in for a trading day that does not come."""
    assert dates.forgotten_ms(FRIDAY, lambda _: False) == at("09:00", date(2026, 9, 12))


def test_times_go_out_and_in_as_rfc3339():
    """A time keeps its milliseconds, and what is no time with an offset is none."""
    assert dates.rfc3339(at("10:00:01") + 5) == "2026-09-11T01:00:01.005Z"
    assert dates.parsed_ms("2026-09-11T01:00:01.005Z") == at("10:00:01") + 5
    assert dates.parsed_ms("2026-09-11T10:00:01+09:00") == at("10:00:01")
    assert [dates.parsed_ms(text) for text in ("2026-09-11T10:00:01", "soon", 5, None)] == [None] * 4


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+09:00", "1999-12-31T00:00:00Z"])
def test_a_time_in_no_plausible_year_is_none(text):
    """A foreign record's year could not be shown in every zone."""
    assert dates.parsed_ms(text) is None


def test_times_from_outside_lie_between_two_dates():
    """A number of milliseconds beyond them, or what is no whole number, is no time."""
    found = [dates.is_plausible_ms(each) for each in (at("10:00"), 0, -1, 2**62, True, 1.7e12, "1", None)]
    assert found == [True] + [False] * 7
