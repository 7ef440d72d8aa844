"""Times of a person are RFC 3339, or an hour and minute of a day in Seoul."""

from datetime import date

import pytest

from connector.core.time_span import Span, is_time, seoul_date, span, to_ns

DAY = date(2026, 3, 2)
NINE = 1_772_409_600 * 10**9  # 2026-03-02T00:00:00Z


@pytest.mark.parametrize(
    "text", ["09:00", "2026-03-02T09:00:00+09:00", "2026-03-02T00:00:00Z", "2026-03-02t00:00:00.000z"]
)
def test_every_spelling_of_a_moment_is_the_same(text):
    """An hour of the day in Seoul is the same moment as with an offset."""
    assert is_time(text)
    assert to_ns(text, DAY) == NINE


@pytest.mark.parametrize("text", ["9:00", "24:00", "09:60", "2026-03-02", "2026-13-02T00:00:00Z", "", "now", "０９:00"])
def test_anything_else_is_refused_with_a_sentence(text):
    """A time without offset, or that does not exist, is refused."""
    with pytest.raises(ValueError, match="is not a time, such as"):
        to_ns(text, DAY)


def test_a_file_name_is_no_time():
    """Only what has the shape of a time is one."""
    assert not is_time("day.jsonl.gz")


def test_a_span_holds_its_begin_and_not_its_end():
    """The first moment is inside and the last is not; an open side has no limit."""
    found = span("09:00", "09:01", DAY)
    assert [ns in found for ns in (NINE - 1, NINE, NINE + 60 * 10**9 - 1, NINE + 60 * 10**9)] == [
        False,
        True,
        True,
        False,
    ]
    assert 0 in Span(None, None)


def test_an_empty_span_is_refused():
    """A begin that is not before the end is a mistake."""
    with pytest.raises(ValueError, match="--from 09:00 is not before --to 09:00"):
        span("09:00", "09:00", DAY)


def test_the_day_in_seoul_begins_nine_hours_before_that_in_utc():
    """A moment late on a day in UTC is on the next day in Seoul."""
    assert seoul_date(NINE - 9 * 3600 * 10**9) == DAY
    assert seoul_date(NINE - 9 * 3600 * 10**9 - 1) == date(2026, 3, 1)
