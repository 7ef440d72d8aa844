import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.bonds import isin

KIS_SAMPLES = ["KR103502GD31", "KR103502GA34"]
# ISO 6166 numbers of well-known shares, with and without letters among the nine.
OTHERS = ["US0378331005", "KR7005930003", "AU0000XVGZA3", "GB0002634946"]


@pytest.mark.parametrize("text", KIS_SAMPLES + OTHERS)
def test_real_isins_are_valid(text):
    """A published ISIN is valid, and its first eleven characters give its check digit."""
    assert isin.has_shape(text)
    assert isin.is_valid(text)
    assert isin.with_check_digit(text[:11]) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "KR103502GA3",
        "KR103502GA344",
        "kr103502GA34",
        "K1103502GA34",
        "KR103502GA3A",
        "KR103502GA3４",
        "KR103502GA34\n",
    ],
)
def test_other_text_has_no_shape(text):
    """An ISIN is two capitals, nine capitals or digits, and one digit, all ASCII."""
    assert not isin.has_shape(text)
    assert not isin.is_valid(text)


@pytest.mark.parametrize("text", KIS_SAMPLES + OTHERS)
def test_every_other_check_digit_is_wrong(text):
    """Exactly one of the ten check digits is right."""
    assert [digit for digit in "0123456789" if isin.is_valid(text[:11] + digit)] == [text[11]]


@pytest.mark.parametrize("first", ["", "KR103502GA", "KR103502GA34", "KR103502ga3"])
def test_only_a_beginning_gets_a_check_digit(first):
    """Text that is not the beginning of an ISIN is refused."""
    with pytest.raises(ValueError, match="not the beginning"):
        isin.with_check_digit(first)


@given(st.from_regex(r"[A-Z]{2}[A-Z0-9]{9}", fullmatch=True))
def test_a_completed_isin_is_valid(first):
    """Every completed beginning is a valid ISIN."""
    assert isin.is_valid(isin.with_check_digit(first))
