"""Dead letters hold what could not become a tick, and say why in ASCII headers."""

import json
import time

import pytest

from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick
from connector.core.ticks.frame import BadFrame, Received, WireRecord

FRAME = Received(1_795_148_264_123_456_789, 3, 1, False, "국|x".encode())


def test_a_bad_frame_is_published_as_received():
    """A frame's dead letter has no key, the bytes of the frame, and its receive time."""
    letter = dead_letter.of_frame(FRAME, BadFrame("FRAME_HEADER", "2 of the four parts"))
    assert (letter.key, letter.value, letter.timestamp_ms) == (None, FRAME.raw, 1_795_148_264_123)
    assert letter.headers == [
        ("reason", b"FRAME_HEADER"),
        ("detail", b"2 of the four parts"),
        ("received-ns", b"1795148264123456789"),
        ("slot", b"3"),
    ]


KEY, IV = "canarycanarycanarycanarycanary01", "canary0123456789"
REPLY = json.dumps({"header": {"tr_id": "H0BJCNT0"}, "body": {"rt_cd": "0", "output": {"iv": IV, "key": KEY}}})


@pytest.mark.parametrize(
    "raw",
    [
        REPLY.encode(),
        f"[{REPLY}]".encode(),
        f"\ufeff{REPLY}".encode(),
        json.dumps({"again": REPLY}).encode(),
        json.dumps(json.dumps({"again": REPLY})).encode(),
        REPLY[:-4].encode(),
        REPLY.replace('": "', '"\n:\t"').encode(),
        b"\xff" + REPLY.encode(),
        json.dumps({"header": {"approval_key": KEY}, "x": {"KEY": f'{IV}\\"{KEY}'}}).encode(),
    ],
)
def test_key_material_is_not_published(raw):
    """The key and IV of an unrecognised reply are hidden, and the detail says so."""
    letter = dead_letter.of_frame(FRAME._replace(raw=raw), BadFrame("FRAME_KIND", "a binary message"))
    assert b"canary" not in letter.value
    assert letter.value.startswith(raw[:4])
    assert dict(letter.headers)["detail"] == b"a binary message; key material was hidden"


@pytest.mark.parametrize(
    "raw", [b'"key"' * 200_000, b"\\" * 1_000_000, b'"key": "' * 120_000, b'"key"' + b" " * 1_000_000]
)
def test_the_search_for_key_material_is_fast(raw):
    """Even a huge frame built to be slow is searched in half a second."""
    before = time.process_time()
    dead_letter.of_frame(FRAME._replace(raw=raw), BadFrame("FRAME_HEADER", "1 of the four parts"))
    assert time.process_time() - before < 0.5


def test_a_bad_record_is_published_with_its_key_and_field():
    """A record's dead letter has the ISIN as key, the raw text, and the name of the bad column."""
    bad = BadTick("FIELD_NUMBER", "'국' is no number", "CNTG_VOL", "KR103502GD31")
    letter = dead_letter.of_record(FRAME, WireRecord(["KR103502GD31", "국"], "KR103502GD31^국"), bad)
    assert (letter.key, letter.value) == (b"KR103502GD31", "KR103502GD31^국".encode())
    assert dict(letter.headers)["field"] == b"CNTG_VOL"
    assert all(value.isascii() for _, value in letter.headers)


def test_a_record_that_is_not_utf8_keeps_its_bytes():
    """The dead letter of a record has the raw bytes that KIS sent."""
    record = WireRecord(["KR103502GD31", "\udcff"], "KR103502GD31^\udcff", is_utf8=False)
    bad = BadTick("FIELD_NOT_UTF8", "no", "STCK_PRPR", "KR103502GD31")
    assert dead_letter.of_record(FRAME, record, bad).value == b"KR103502GD31^\xff"
    assert dead_letter.of_refused(FRAME, record, b"KR103502GD31", "too large").value == b"KR103502GD31^\xff"


def test_a_record_without_a_readable_isin_has_no_key():
    """A record with FIELD_ISIN has no key."""
    letter = dead_letter.of_record(FRAME, WireRecord(["x"], "x"), BadTick("FIELD_ISIN", "no", "STND_ISCD", None))
    assert letter.key is None


def test_a_letter_without_a_key_gets_one_of_its_own_first():
    """A compacted topic takes no record without a key, and must not compact this one away."""
    letter = dead_letter.of_frame(FRAME, BadFrame("FRAME_HEADER", "no"))
    (keyed,) = dead_letter.forms(letter, 7)
    assert keyed == letter._replace(key=b"slot/3/1795148264123456789")


def test_a_large_letter_is_shortened_and_says_how_long_it_was():
    """Shorter forms follow, under the same key; a letter of a record's size stays whole."""
    letter = dead_letter.of_record(
        FRAME, WireRecord(["x"], "y" * 20_000), BadTick("FIELD_TIME", "no", "STCK_CNTG_HOUR", "KR103502GD31")
    )
    forms = dead_letter.forms(letter, 7)
    assert [(form.key, len(form.value)) for form in forms] == [(b"KR103502GD31", 16_384), (b"KR103502GD31", 1024)]
    assert dict(forms[1].headers)["detail"] == b"first 1024 of 20000 bytes, the journal keeps frame 7 whole"
    assert dict(forms[1].headers)["field"] == b"STCK_CNTG_HOUR"
    assert dead_letter.forms(letter._replace(value=b"y" * 1024), 7) == []
