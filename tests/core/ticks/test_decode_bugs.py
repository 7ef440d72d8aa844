"""A few frames that trip a bug become dead letters; many wait in the journal."""

from connector.core.ticks.decode_bugs import DecodeBugs

SECOND_NS = 10**9


def test_up_to_twenty_in_a_row_are_dead_letters():
    """The twenty-first frame in a row waits, and still waits when it is tried again."""
    bugs = DecodeBugs()
    seqs = [*range(101, 122), 121, 121]
    assert [bugs.is_too_common(seq, seq * 61 * SECOND_NS) for seq in seqs] == [False] * 20 + [True] * 3


def test_a_decoded_frame_ends_a_row():
    """Rows of fewer than twenty, with a good frame between, are dead letters."""
    bugs = DecodeBugs()
    for row in range(10):
        assert not any(bugs.is_too_common(row * 20 + place, row * 61 * SECOND_NS) for place in range(1, 20))


def test_more_than_one_in_a_hundred_of_a_minute_is_too_many():
    """Within a minute, more than one frame in a hundred waits; the next minute begins anew."""
    bugs = DecodeBugs()
    said = [bugs.is_too_common(1 + number * 90, number * SECOND_NS) for number in range(30)]
    assert said == [False] * 20 + [True] * 10
    assert not bugs.is_too_common(1 + 30 * 90, 60 * SECOND_NS)


def test_one_in_a_hundred_are_dead_letters():
    """Within a minute, up to one frame in a hundred is a dead letter."""
    bugs = DecodeBugs()
    assert not any(bugs.is_too_common(number * 101, number) for number in range(1, 200))
