"""A few frames that trip a bug become dead letters; many wait in the journal."""

from connector.core.ticks.decode_bugs import DecodeBugs

MINUTE_NS = 60 * 10**9


def test_up_to_twenty_in_a_row_are_dead_letters():
    """The twenty-first frame in a row waits, and still waits when it is tried again."""
    bugs = DecodeBugs()
    assert [bugs.is_too_common(number * MINUTE_NS) for number in range(22)] == [False] * 20 + [True] * 2


def test_a_decoded_frame_ends_a_row():
    """Rows of fewer than twenty, with good frames between, are dead letters."""
    bugs = DecodeBugs()
    for number in range(10):
        assert [bugs.is_too_common(number * MINUTE_NS) for _ in range(19)] == [False] * 19
        bugs.note_decoded(1, number * MINUTE_NS)


def test_one_in_a_hundred_of_a_minutes_frames_is_too_many():
    """Within a minute, more than one frame in a hundred waits; the next minute begins anew."""
    bugs, said = DecodeBugs(), []
    for _ in range(30):
        bugs.note_decoded(90, 5)
        said.append(bugs.is_too_common(6))
    assert said == [False] * 20 + [True] * 10
    bugs.note_decoded(90, MINUTE_NS)
    assert not bugs.is_too_common(MINUTE_NS)


def test_fewer_than_one_in_a_hundred_are_dead_letters():
    """Within a minute, up to one frame in a hundred is a dead letter."""
    bugs = DecodeBugs()
    for _ in range(100):
        bugs.note_decoded(99, 5)
        assert not bugs.is_too_common(5)
