"""Tests of sentences on terminals of any width."""

import pytest
from rich.cells import cell_len

from connector.cli.prose import wrapped
from tests.cpu_time import is_within

SENTENCE = (
    "No bond master is at /home/someone/.cache/kis-bond/bond_code.mst yet, and KR103502GA34 국고채권장기물 waits."
)


@pytest.mark.parametrize("width", [50, 60, 80, 200])
def test_words_stay_whole(width):
    """Every line fits, every word is whole, and no word is lost or moved."""
    lines = wrapped(SENTENCE, width)
    assert max(map(cell_len, lines)) <= width
    assert " ".join(lines) == SENTENCE
    nexts = [line.split()[0] for line in lines[1:]]
    assert all(cell_len(f"{line} {word}") > width for line, word in zip(lines, nexts, strict=False))


def test_a_word_that_is_too_long_stays_whole():
    """A word longer than the terminal has a line of its own."""
    assert wrapped(f"See {'x' * 50} there.", 40) == ["See", "x" * 50, "there."]
    assert wrapped(f"  {'x' * 50} there.", 40) == [f"  {'x' * 50}", "  there."]


def test_later_lines_are_indented():
    """Later lines begin as far in as the first, or with what was given."""
    assert wrapped("  one two", 6) == ["  one", "  two"]
    assert wrapped("bonds  one two", 10, "       ") == ["bonds  one", "       two"]


def test_a_text_that_fits_is_left_alone():
    """Blanks inside and at the end of a line that fits are kept."""
    assert wrapped(" a   b ", 40) == [" a   b "]
    assert wrapped("", 40) == [""]


def test_korean_letters_take_two_cells():
    """A line of Korean words is broken where it fills the terminal."""
    assert wrapped("국고 국고 국고", 9) == ["국고 국고", "국고"]


def test_wrapping_is_linear():
    """The time to wrap a text does not grow faster than the text."""
    assert is_within(2, lambda: wrapped("ab " * 100_000, 80))
    assert is_within(2, lambda: wrapped("a" * 500_000 + " b", 80))
