"""Dead letters hold what could not become a tick, and say why in ASCII headers."""

import json

import pytest

from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick
from connector.core.ticks.frame import BadFrame, Received, WireRecord, split
from connector.logs.redaction import Redactor
from tests.cpu_time import is_within

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


APPROVAL, PASSWORD = "0123abcd-4567-89ef-0123-456789abcdef", "kafka-canary-password"


def published(raw, *, binary=False, known=()):
    """Return the dead letter of a message as it is published by a connector that knows secrets."""
    redactor = Redactor()
    redactor.hide(*known)
    message = FRAME._replace(raw=raw, binary=binary)
    letter = dead_letter.of_frame(message, split(message, ()))
    return dead_letter.without_secrets(letter, redactor.clean, redactor.clean_known)


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
    letter = published(raw, binary=True)
    assert b"canary" not in letter.value
    assert letter.value.startswith(raw[:4])
    assert dict(letter.headers)["detail"] == b"a binary message; KIS sends text; secrets were hidden"


@pytest.mark.parametrize(
    "raw", ["key={}&iv={}", "<key>{}</key><iv>{}</iv>", '{{"key":{},"iv":{}}}', "key: {}, iv: {}|"]
)
def test_key_material_without_quotes_is_not_published(raw):
    """The key and IV of a reply that is no JSON are hidden, too."""
    letter = published(raw.format(KEY, IV).encode())
    assert b"canary" not in letter.value + dict(letter.headers)["detail"]
    assert letter.value.count(b"********") == 2


@pytest.mark.parametrize("known", [(APPROVAL, PASSWORD), ()])
@pytest.mark.parametrize(
    "text",
    [
        f"invalid approval : {APPROVAL}",
        f"[OPSP0011] invalid approval : {APPROVAL}\r\n",
        f"<html><body>approval_key={APPROVAL.replace('-', '%2D')}</body></html>",
        f"<p>approval key {APPROVAL[:14]}\r\n  {APPROVAL[14:]}</p>",
        f"{APPROVAL}|x|y|z",
        f"0|{APPROVAL}|y|z",
        f"0|H0BJCNT0|{APPROVAL}|z",
        f"password={PASSWORD}|x|y|z",
    ],
)
def test_a_secret_that_a_text_quotes_is_not_published(text, known):
    """Neither value nor detail of a text's dead letter holds a secret; the other words stay."""
    letter = published(text.encode(), known=known)
    shown = letter.value + dict(letter.headers)["detail"]
    for secret in (b"0123abcd", b"4567", b"canary"):
        assert secret not in shown
    assert letter.value.count(b"********") == 1
    assert dict(letter.headers)["detail"].endswith(b"; secrets were hidden")


@pytest.mark.parametrize(
    "raw",
    [
        b"0|H0BJCNT0|002|KR103502GD31^131743^10000.00^2",
        b"1|H0BJCNT0|001|" + b"q7X+" * 60 + b"==",
        b"1|H0BJCNT0|000|" + b"q7X+" * 60 + b"==",
        b"1|H0STCNI0|001|" + b"q7X+" * 60 + b"==",
        b"0|H0BJCNT0|001|KR103502GD31^\xb1\xb9^" + APPROVAL.encode(),
        b"the \xff see \\u0041 %41\r\n the page",
    ],
)
def test_data_and_other_words_stay_as_they_came(raw):
    """A frame of data is published byte for byte, though it looks like a secret."""
    letter = published(raw, known=[PASSWORD])
    assert letter.value == raw
    assert not dict(letter.headers)["detail"].endswith(b"hidden")


def test_a_secret_in_a_frame_of_data_is_not_published():
    """A secret that this process knows is hidden in data too, and in one record of it."""
    letter = published(f"0|H0BJCNT0|001|KR103502GD31^{APPROVAL}^9".encode(), known=[APPROVAL])
    assert letter.value == b"0|H0BJCNT0|001|KR103502GD31^********^9"
    redactor = Redactor()
    redactor.hide(APPROVAL)
    bad = BadTick("FIELD_TIME", f"{APPROVAL!r} is not HHMMSS", "STCK_CNTG_HOUR", "KR103502GD31")
    letter = dead_letter.of_record(FRAME, WireRecord(["KR103502GD31", APPROVAL], f"KR103502GD31^{APPROVAL}"), bad)
    letter = dead_letter.without_secrets(letter, redactor.clean, redactor.clean_known)
    assert letter.value == b"KR103502GD31^********"
    assert dict(letter.headers)["detail"] == b"'********' is not HHMMSS; secrets were hidden"


def test_a_long_text_is_cut():
    """Of a text, 64 KiB are kept, and the detail says so; data is kept whole."""
    letter = published(b"word " * 100_000 + APPROVAL.encode())
    assert len(letter.value) < dead_letter.LONGEST_TEXT + 100
    assert dict(letter.headers)["detail"].endswith(b"; only the first 65536 characters are kept")
    letter = published(b"x" * 1_000_000)
    assert letter.value.startswith(b"x" * dead_letter.LONGEST_TEXT)
    raw = b"0|H0BJCNT0|001|" + b"1^" * 100_000
    assert published(raw).value == raw


@pytest.mark.parametrize(
    "raw", [b'"key"' * 200_000, b"\\" * 1_000_000, b'"key": "' * 120_000, b'"key"' + b" " * 1_000_000]
)
def test_the_search_for_key_material_is_fast(raw):
    """Even a huge frame built to be slow is searched in a few seconds."""
    assert is_within(3, lambda: (published(raw), published(b"0|H0BJCNT0|1|" + raw)))


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
    (keyed,) = dead_letter.forms(letter, 7, 0)
    assert keyed == letter._replace(key=b"slot/3/1795148264123456789/0")


def test_a_large_letter_is_shortened_and_says_how_long_it_was():
    """Shorter forms follow, under the same key; a letter of a record's size stays whole."""
    letter = dead_letter.of_record(
        FRAME, WireRecord(["x"], "y" * 20_000), BadTick("FIELD_TIME", "no", "STCK_CNTG_HOUR", "KR103502GD31")
    )
    forms = dead_letter.forms(letter, 7, 0)
    assert [(form.key, len(form.value)) for form in forms] == [(b"KR103502GD31", 16_384), (b"KR103502GD31", 1024)]
    assert dict(forms[1].headers)["detail"] == b"first 1024 of 20000 bytes, the journal keeps frame 7 whole"
    assert dict(forms[1].headers)["field"] == b"STCK_CNTG_HOUR"
    assert dead_letter.forms(letter._replace(value=b"y" * 1024), 7, 0) == []
