"""Numbers all records in the order in which they were received."""


def position(seq: int, index: int) -> int:
    """Return the position of the record at place `index`, from 0, in frame number `seq`.

    A frame has fewer than 1,024 records.
    """
    return seq << 10 | index


def frame_of(at: int) -> int:
    """Return the frame number of a position."""
    return at >> 10


def index_of(at: int) -> int:
    """Return the record's place in its frame, from 0."""
    return at & 1023
