"""The check of growth finds searches that are slower than linear: a check must be able to fail."""

import re

import pytest

from tests.fuzz import growth


@pytest.mark.parametrize(
    ("search", "repeated"),
    [
        (r"\w*=", "_"),  # quadratic: the search starts again at each character
        (r"\w*\w*=", "a\n_\n "),  # cubic
        (r"(?:\w*[_-])?\w*=", "x\n_\n"),
        (r"token\s*\s*:", "token\n \n"),
    ],
)
def test_a_search_that_is_slower_than_linear_is_found(search, repeated):
    """A search that looks at a character again and again fails."""
    with pytest.raises(AssertionError, match="took more than"):
        growth.assert_linear(re.compile(search).search, repeated)


@pytest.mark.parametrize("repeated", ["", "_", "a\n_\nb", " \n=\n ", "국"])
def test_a_linear_search_passes(repeated):
    """A search that looks at each character once passes."""
    growth.assert_linear(re.compile(r"=:").search, repeated)
    growth.assert_linear(str.upper, repeated)


def test_a_pattern_repeats_its_middle_line():
    """The texts of a pattern differ only in how often its middle line is repeated."""
    assert [len(text) for text in growth.texts("ab\n_\nc")] == [length + 4 for length in growth.LENGTHS]
    assert next(growth.texts("ab\n_\nc")) == "ab" + "_" * 65 + "c"
    assert next(growth.texts("ab")) == "ab" * 34
