"""Dead letters hold what could not become a tick, with a reason in ASCII headers."""

from connector.core import dead_letter
from connector.core.avro import BadTick
from connector.core.frame import BadFrame, Received, WireRecord

FRAME = Received(1_795_148_264_123_456_789, 3, 1, False, "국|x".encode())


def test_a_bad_frame_is_published_as_received():
    """A frame's dead letter has no key, the frame's bytes, and the receive time."""
    letter = dead_letter.of_frame(FRAME, BadFrame("FRAME_HEADER", "2 of the four parts"))
    assert (letter.key, letter.value, letter.timestamp_ms) == (None, FRAME.raw, 1_795_148_264_123)
    assert letter.headers == [
        ("reason", b"FRAME_HEADER"),
        ("detail", b"2 of the four parts"),
        ("received-ns", b"1795148264123456789"),
        ("slot", b"3"),
    ]


def test_a_bad_record_is_published_with_its_key_and_field():
    """A record's dead letter has the ISIN as key, the record's raw text, and the column to blame."""
    bad = BadTick("FIELD_NUMBER", "'국' is no number", "CNTG_VOL", "KR103502GD31")
    letter = dead_letter.of_record(FRAME, WireRecord(["KR103502GD31", "국"], "KR103502GD31^국"), bad)
    assert (letter.key, letter.value) == (b"KR103502GD31", "KR103502GD31^국".encode())
    assert dict(letter.headers)["field"] == b"CNTG_VOL"
    assert all(value.isascii() for _, value in letter.headers)


def test_a_record_without_a_readable_isin_has_no_key():
    """What is no ISIN is no key either."""
    letter = dead_letter.of_record(FRAME, WireRecord(["x"], "x"), BadTick("FIELD_ISIN", "no", "STND_ISCD", None))
    assert letter.key is None
