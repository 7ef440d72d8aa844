"""Of lines that say the same, one a minute is written."""

from connector.logs.repeats import MOST_REMEMBERED, Repeats


def test_the_same_is_said_once_a_minute():
    """A saying is a repeat for a minute after it was written, however often it comes."""
    repeats = Repeats()
    assert [repeats.is_repeat("a", now) for now in (0, 1, 59, 60, 61)] == [False, True, True, False, True]
    assert repeats.is_repeat("b", 61) is False


def test_what_was_left_out_is_counted_when_its_minute_is_over():
    """The count is given once; what was said only once is not told of."""
    repeats = Repeats()
    for now in (0, 1, 2):
        repeats.is_repeat("often", now)
    repeats.is_repeat("once", 3)
    assert repeats.ended(59) == []
    assert repeats.ended(60) == [("often", 2)]
    assert repeats.ended(63) == []
    assert repeats.is_repeat("often", 64) is False


def test_a_saying_written_again_begins_another_minute():
    """What is said again after its minute is remembered from then on, behind what was said since."""
    repeats = Repeats()
    repeats.is_repeat("a", 0)
    repeats.is_repeat("b", 30)
    repeats.is_repeat("b", 31)
    assert repeats.is_repeat("a", 70) is False
    assert repeats.ended(91) == [("b", 1)]
    assert repeats.is_repeat("a", 92) is True


def test_memory_is_bounded():
    """Of too many different sayings the oldest are forgotten."""
    repeats = Repeats()
    for number in range(MOST_REMEMBERED):
        repeats.is_repeat(number, 0)
    repeats.is_repeat(0, 0)
    repeats.is_repeat("one more", 0)
    assert repeats.ended(0) == [(0, 1)]
    assert len(repeats._since) == MOST_REMEMBERED
