"""Of lines of one kind, one a minute is written."""

from connector.logs.repeats import MAX_KINDS, Repeats


def test_a_kind_is_written_once_a_minute():
    """After a line was written, others of its kind are repeats for a minute, however many come."""
    repeats = Repeats()
    assert [repeats.admit("a", now) for now in (0, 1, 59, 60, 61)] == [True, False, False, True, False]
    assert repeats.admit("b", 61) is True


def test_suppressed_lines_are_counted_when_their_minute_is_over():
    """The count of suppressed lines is given once, and only for kinds that had any."""
    repeats = Repeats()
    for now in (0, 1, 2):
        repeats.admit("often", now)
    repeats.admit("once", 3)
    assert repeats.expire(59) == []
    assert repeats.expire(60) == [("often", 2)]
    assert repeats.expire(63) == []
    assert repeats.admit("often", 64) is True


def test_a_kind_written_again_begins_another_minute():
    """A kind written again after its minute moves to the newest place."""
    repeats = Repeats()
    repeats.admit("a", 0)
    repeats.admit("b", 30)
    repeats.admit("b", 31)
    assert repeats.admit("a", 70) is True
    assert repeats.expire(91) == [("b", 1)]
    assert repeats.admit("a", 92) is False


def test_memory_is_bounded():
    """Above the limit, the oldest kinds are dropped."""
    repeats = Repeats()
    for number in range(MAX_KINDS):
        repeats.admit(number, 0)
    repeats.admit(0, 0)
    repeats.admit("one more", 0)
    assert repeats.expire(0) == [(0, 1)]
    assert len(repeats._written_at) == MAX_KINDS
