"""The kinds of malformed data."""

from itertools import islice

import pytest

from simulator import malformed
from simulator.malformed import BadFrame, BadRecord

GOOD = (
    "KR103502GD31^국고03250-5303(23-2)^131743^2^5.00^0.05^10575.00^1^"
    "10525.00^10578.00^10525.00^0.00^3.012^3.037^3.010^3.037^6594124^9874082^2"
)


def made():
    """Return one of each kind."""
    return [make(GOOD) for make in malformed.MAKERS]


def test_every_reason_comes():
    """The cycle has every reason a single frame or record can have, and starts again."""
    assert {bad.reason for bad in made()} == {
        *("FRAME_KIND", "FRAME_NOT_UTF8", "FRAME_HEADER", "FRAME_FLAG", "FRAME_TR", "FRAME_COUNT", "FRAME_ARITY"),
        *("DECRYPT_FAILED", "FIELD_EMPTY", "FIELD_ISIN", "FIELD_TIME", "FIELD_NUMBER", "FIELD_RANGE"),
    }
    twice = [make(GOOD) for make in islice(malformed.endless(), 2 * len(malformed.MAKERS))]
    assert twice == made() * 2


def test_records_keep_their_width():
    """A bad record differs from the good one in a single column."""
    for bad in made():
        if isinstance(bad, BadRecord):
            pairs = zip(bad.raw.split("^"), GOOD.split("^"), strict=True)
            assert sum(ours != theirs for ours, theirs in pairs) == 1


def test_not_utf8():
    """The frame that should not be UTF-8 is not."""
    bad = next(bad for bad in made() if bad.reason == "FRAME_NOT_UTF8")
    assert isinstance(bad, BadFrame)
    with pytest.raises(UnicodeDecodeError):
        bad.raw.decode()


def test_a_caret_in_the_name_adds_a_column():
    """A caret inside the name shifts the fields after it, so that the time is wrong."""
    bad = next(bad for bad in made() if isinstance(bad, BadFrame) and bad.reason == "FIELD_TIME")
    assert bad.raw.count(b"^") == GOOD.count("^") + 1
