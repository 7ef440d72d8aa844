import subprocess
import sys
from datetime import UTC, date, datetime

import pytest

from connector.core.market_calendar import is_open, is_trading_day
from connector.core.seoul_time import SEOUL


def seoul(text):
    """Return a time in Seoul."""
    return datetime.fromisoformat(text).replace(tzinfo=SEOUL)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-27T08:59:59.999999", False),
        ("2026-11-27T09:00:00", True),
        ("2026-11-27T15:29:59.999999", True),
        ("2026-11-27T15:30:00", False),
        ("2026-11-28T10:00:00", False),
        ("2026-11-29T10:00:00", False),
        ("2026-11-30T10:00:00", True),
    ],
)
def test_the_market_is_open_from_nine_to_half_past_three_on_weekdays(at, expected):
    """The first minute counts, the last one does not, and neither do weekends."""
    assert is_open(seoul(at)) is expected


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2026-02-17", "Korean New Year, by the moon"),
        ("2026-03-02", "the substitute for 1 March, a Sunday"),
        ("2026-09-25", "Chuseok, by the moon"),
        ("2026-05-01", "Labour Day, when offices work"),
        ("2026-12-31", "the exchange's own last day of the year"),
        ("2025-06-03", "an election that was called at short notice"),
    ],
)
def test_the_market_is_closed_on_its_holidays(day, why):
    """The calendar is the exchange's own, not only that of public holidays."""
    assert not is_open(seoul(f"{day}T10:00:00")), why


@pytest.mark.parametrize(("at", "expected"), [("2026-11-30T00:00:00", True), ("2026-11-29T23:59:59", False)])
def test_the_time_may_be_of_any_zone(at, expected):
    """Midnight in UTC is nine o'clock in Seoul."""
    assert is_open(datetime.fromisoformat(at).replace(tzinfo=UTC)) is expected


@pytest.mark.parametrize("year", [1990, 2040, 2100])
def test_a_year_far_away_does_no_harm(year):
    """A wrong clock makes no error."""
    assert is_open(datetime(year, 3, 3, 1, tzinfo=UTC)) in (True, False)


def test_a_trading_day_is_a_weekday_that_is_no_holiday():
    """A Monday is one, a Sunday and a holiday of the exchange are none."""
    days = [date(2026, 11, 30), date(2026, 11, 29), date(2026, 2, 17)]
    assert [is_trading_day(day) for day in days] == [True, False, False]


def test_the_calendar_comes_without_those_of_other_countries():
    """Importing the calendar imports no other country's, and leaves the library able to."""
    program = (
        "import sys, connector.core.market_calendar, holidays\n"
        "found = [name for name in sys.modules if name.startswith(('holidays.countries.', 'holidays.financial.'))]\n"
        "print(sorted(found), '2026-07-14' in holidays.France())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = ["holidays.countries.south_korea", "holidays.financial.korea_exchange"]
    assert done.stdout == f"{expected} True\n"
