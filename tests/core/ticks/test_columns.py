"""Columns follow a strict grammar; times and identities follow from text and receive time alone."""

from datetime import UTC, date, datetime
from hashlib import blake2b
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.ticks import columns
from connector.core.ticks.columns import (
    BadColumn,
    identity,
    moment,
    repaired,
    tick_id,
    time_of_day_ms,
    unscaled,
    volume,
)

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-0.0000", 0),
        ("-0.15", -1500),
        ("10575.00", 105750000),
        ("007.5", 75000),
        ("3.0120000", 30120),
        ("0.1234", 1234),
        ("9" * 14 + ".9999", 10**18 - 1),
    ],
)
def test_a_decimal_is_exact(text, number):
    """A decimal keeps its exact value as a whole number of ten-thousandths; it is never a float."""
    assert unscaled(text, 18, 4) == number


@pytest.mark.parametrize(
    "text", ["", "-", "1e9", "NaN", "１２", "+1", " 1 ", "1.", ".5", "1,000", "1\n", "--1", "0x1", "∞"]
)
def test_a_text_that_is_not_a_decimal_is_refused(text):
    """A number has only ASCII digits, at most one sign and at most one point."""
    with pytest.raises(BadColumn) as refused:
        unscaled(text, 18, 4)
    assert refused.value.reason == "FIELD_NUMBER"
    assert refused.value.detail.isascii()


@pytest.mark.parametrize("text", ["1" * 15, "0" * 15, "9" * 400, "0.00001", "-1.23456"])
def test_a_decimal_beyond_the_type_is_out_of_range(text):
    """More than 14 digits before the point, or more than four after it, are out of range."""
    with pytest.raises(BadColumn) as refused:
        unscaled(text, 18, 4)
    assert refused.value.reason == "FIELD_RANGE"


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("6594124", 6594124), ("9" * 18, 10**18 - 1), ("007", 7)])
def test_a_volume_is_a_whole_number(text, number):
    """A volume has up to 18 digits."""
    assert volume(text) == number


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-1", "FIELD_RANGE"),
        ("-0", "FIELD_RANGE"),
        ("1" * 19, "FIELD_RANGE"),
        ("1.0", "FIELD_NUMBER"),
        ("", "FIELD_NUMBER"),
        ("²", "FIELD_NUMBER"),
        ("１", "FIELD_NUMBER"),
        ("1_0", "FIELD_NUMBER"),
    ],
)
def test_a_bad_volume_has_one_of_two_reasons(text, reason):
    """A number that does not fit is FIELD_RANGE; any other text is FIELD_NUMBER."""
    with pytest.raises(BadColumn) as refused:
        volume(text)
    assert refused.value.reason == reason


@pytest.mark.parametrize("text", ["240000", "126099", "13174", "1317430", "13:17:43", "１３１７４３", "-11743"])
def test_a_bad_time_is_refused(text):
    """A time is six ASCII digits: hour, minute and second of a day."""
    with pytest.raises(BadColumn) as refused:
        time_of_day_ms(text)
    assert refused.value.reason == "FIELD_TIME"


@pytest.mark.parametrize(
    ("text", "received", "traded"),
    [
        ("131743", "2026-11-20 13:17:44", "2026-11-20 13:17:43"),
        ("131743", "2026-11-20 12:17:43", "2026-11-20 13:17:43"),  # an hour ahead: clocks differ
        ("131743", "2026-11-20 12:17:42", "2026-11-19 13:17:43"),  # more than an hour ahead: yesterday
        ("235959", "2026-11-21 00:00:01", "2026-11-20 23:59:59"),
        ("000001", "2026-11-20 23:59:59", "2026-11-21 00:00:01"),
        ("000000", "2026-01-01 00:00:00", "2026-01-01 00:00:00"),
        ("153000", "2026-12-31 08:00:00", "2026-12-30 15:30:00"),
    ],
)
def test_the_trade_date_is_the_latest_that_is_not_the_future(text, received, traded):
    """The trade date is the latest that puts the trade at most an hour after its receipt."""
    received_ms = int(datetime.fromisoformat(received).replace(tzinfo=SEOUL).timestamp() * 1000)
    expected = datetime.fromisoformat(traded).replace(tzinfo=SEOUL)
    when = moment(time_of_day_ms(text), received_ms)
    assert datetime.fromtimestamp(when.traded_at_ms / 1000, UTC) == expected
    assert date.fromordinal(date(1970, 1, 1).toordinal() + when.trade_date) == expected.date()


@given(at=st.times(), received_ms=st.integers(631_152_000_000, 4_102_444_800_000))
def test_seoul_time_is_that_of_the_time_zone_database(at, received_ms):
    """The fixed offset agrees with Asia/Seoul since 1990; no trade is over an hour ahead."""
    when = moment(time_of_day_ms(at.strftime("%H%M%S")), received_ms)
    local = datetime.fromtimestamp(when.traded_at_ms / 1000, SEOUL)
    assert local.strftime("%H%M%S") == at.strftime("%H%M%S")
    assert local.date().toordinal() == date(1970, 1, 1).toordinal() + when.trade_date
    assert received_ms + columns.HOUR_MS - columns.DAY_MS < when.traded_at_ms <= received_ms + columns.HOUR_MS


def test_identity_is_blake2b_over_date_and_raw_text():
    """The identity is the documented digest as 32 lower-case hex digits."""
    expected = blake2b("2026-11-20|KR103502GD31^국고".encode(), digest_size=16).hexdigest()
    assert tick_id(identity(date(2026, 11, 20)), "KR103502GD31^국고".encode()) == expected.encode()
    assert tick_id(identity(date(2026, 11, 21)), "KR103502GD31^국고".encode()) != expected.encode()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("국고".encode(), "국고"),
        (b"", ""),
        ("국고03250(23-2)".encode("cp949"), "국고03250(23-2)"),
        ("똠방".encode("cp949"), "똠방"),  # not in EUC-KR
        (b"\xff", ""),
        (b"\xb1\xb9\xb0", ""),  # cut inside a character
    ],
)
def test_a_text_that_is_not_utf8_is_read_as_cp949_if_that_fits(raw, text):
    """A text keeps its UTF-8 reading; otherwise it has its CP949 reading, or none."""
    assert repaired(raw.decode("utf-8", "surrogateescape")) == text
