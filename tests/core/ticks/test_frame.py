"""Frames are split as KIS sends them; a bad one gets the first reason that applies."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given
from hypothesis import strategies as st

from connector.core.cipher_key import CipherKey
from connector.core.ticks.frame import BadFrame, Received, WireRecord, decrypted, split

SAMPLE = (Path(__file__).parents[2] / "data/portal/h0bjcnt0-frame.txt").read_text(encoding="utf-8")
PAYLOAD = SAMPLE.split("|", 3)[3]
WIDTH = 19
KEY = CipherKey("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")
OTHER = CipherKey("z" * 32, "f" * 16)


def received(text, *, binary=False):
    """Return a message as the journal holds it."""
    raw = text.encode() if isinstance(text, str) else text
    return Received(1_763_800_000_000_000_000, 0, 1, binary, raw)


def data(*records, count=None):
    """Return a plain data frame of these records."""
    return f"0|H0BJCNT0|{count if count is not None else f'{len(records):03d}'}|" + "^".join(records)


def encrypted(text, key=KEY):
    """Return a payload as KIS would encrypt it."""
    padder = PKCS7(128).padder()
    padded = padder.update(text if isinstance(text, bytes) else text.encode()) + padder.finalize()
    sealer = Cipher(algorithms.AES(key.key.encode()), modes.CBC(key.iv.encode())).encryptor()
    return base64.b64encode(sealer.update(padded) + sealer.finalize()).decode()


def test_the_portals_sample_is_one_record_of_nineteen_columns():
    """The portal's sample frame is one record, and the payload is its raw text."""
    (record,) = split(received(SAMPLE), ())
    assert record.text == PAYLOAD
    assert record.columns == PAYLOAD.split("^")
    assert len(record.columns) == WIDTH


@pytest.mark.parametrize("count", ["1", "001", "0001"])
def test_the_number_of_digits_of_the_count_is_not_checked(count):
    """A count may have any number of leading zeros."""
    assert len(split(received(data(PAYLOAD, count=count)), ())) == 1


@given(count=st.integers(1, 60), extra=st.lists(st.sampled_from(["", "x", "7"]), max_size=18), caret=st.booleans())
def test_a_frame_of_n_equals_n_frames_of_one(count, extra, caret):
    """A frame of n records equals n frames, with any appended columns or trailing `^`."""
    record = "^".join([PAYLOAD, *extra])
    together = split(received(data(*[record] * count) + "^" * caret), ())
    alone = split(received(data(record)), ())
    assert together == alone * count


def test_999_records_fit_into_a_frame():
    """A frame may hold 999 records."""
    assert len(split(received(data(*[PAYLOAD] * 999)), ())) == 999


@pytest.mark.parametrize(
    ("appended", "kept"), [("^^", []), ("^a^", ["a"]), ("^^a", ["", "a"]), ("^" * 18, []), ("^a" * 18, ["a"] * 18)]
)
def test_empty_columns_at_the_end_are_not_part_of_a_record(appended, kept):
    """Columns after the nineteenth are kept, except empty ones at the end."""
    (record,) = split(received(data(PAYLOAD + appended)), ())
    assert record.columns[WIDTH:] == kept
    assert record.text == "^".join([PAYLOAD, *kept])


def test_an_empty_nineteenth_column_stays():
    """An empty last documented column is a column, not a trailing `^`."""
    short = PAYLOAD.rsplit("^", 1)[0]
    (record,) = split(received(data(short + "^")), ())
    assert record.columns[-1] == ""
    assert len(record.columns) == WIDTH


@pytest.mark.parametrize("width", range(15, 42))
def test_a_record_has_19_to_37_columns(width):
    """A frame of 19 to 37 columns a record is good; any other width is FRAME_ARITY."""
    one = "^".join("x" * width)
    for count in (1, 3):
        split_into = split(received(data(*[one] * count)), ())
        if WIDTH <= width <= 37:
            assert split_into == [WireRecord(list("x" * width), one)] * count
        else:
            assert split_into.reason == "FRAME_ARITY"


@pytest.mark.parametrize(
    ("raw", "binary", "reason"),
    [
        (SAMPLE, True, "FRAME_KIND"),
        (b"\xff", False, "FRAME_NOT_UTF8"),
        (b"0|H0BJCNT0\xff", False, "FRAME_NOT_UTF8"),
        (b"2|x|\xff|", False, "FRAME_NOT_UTF8"),
        (b"0|H0BJCNT0|001|\xff", False, "FRAME_ARITY"),
        (b"2|H0BJCNT0|001|\xff", False, "FRAME_FLAG"),
        (b"1|H0BJCNT0|001|\xff", False, "DECRYPT_NO_KEY"),
        ("", False, "FRAME_HEADER"),
        ("\x00", False, "FRAME_HEADER"),
        ("\r\n", False, "FRAME_HEADER"),
        ("||", False, "FRAME_HEADER"),
        ("0|H0BJCNT0|001", False, "FRAME_HEADER"),
        ("2|H0BJCNT0|001|x", False, "FRAME_FLAG"),
        ("|||", False, "FRAME_FLAG"),
        ("\ufeff" + SAMPLE, False, "FRAME_FLAG"),
        (SAMPLE.replace("H0BJCNT0", "H0STCNT0"), False, "FRAME_TR"),
        (data(PAYLOAD, count="000"), False, "FRAME_COUNT"),
        (data(PAYLOAD, count="-1"), False, "FRAME_COUNT"),
        (data(PAYLOAD, count="1000"), False, "FRAME_COUNT"),
        (data(PAYLOAD, count=""), False, "FRAME_COUNT"),
        (data(PAYLOAD, count="one"), False, "FRAME_COUNT"),
        (data(PAYLOAD, count="１"), False, "FRAME_COUNT"),
        (data(PAYLOAD, count=" 1"), False, "FRAME_COUNT"),
        ("1|H0BJCNT0|001|AAAA", False, "DECRYPT_NO_KEY"),
        (data(PAYLOAD, count="002"), False, "FRAME_ARITY"),
        (data(PAYLOAD.rsplit("^", 1)[0]), False, "FRAME_ARITY"),
        (data(PAYLOAD, PAYLOAD, count="001"), False, "FRAME_ARITY"),
        (data(""), False, "FRAME_ARITY"),
    ],
)
def test_a_bad_frame_gets_the_first_reason_that_applies(raw, binary, reason):
    """Each kind of bad frame has one reason and an ASCII detail."""
    bad = split(received(raw, binary=binary), ())
    assert isinstance(bad, BadFrame)
    assert bad.reason == reason
    assert bad.detail.isascii()


def test_an_encrypted_frame_is_opened_by_whichever_key_fits():
    """The session's keys are tried until one gives the right padding and columns."""
    frame = received(f"1|H0BJCNT0|002|{encrypted(PAYLOAD + '^' + PAYLOAD)}")
    assert [record.text for record in split(frame, (OTHER, KEY))] == [PAYLOAD, PAYLOAD]


@pytest.mark.parametrize("payload", ["not base64!", "AAAA", encrypted(PAYLOAD, OTHER), ""])
def test_what_no_key_opens_failed_to_decrypt(payload):
    """Bad base64, a wrong block size and wrong padding all give the same reason and detail."""
    assert split(received(f"1|H0BJCNT0|001|{payload}"), (KEY,)) == BadFrame(
        "DECRYPT_FAILED", "none of the session's 1 keys opens it"
    )


def test_a_decrypted_frame_of_wrong_arity_is_not_a_failure_to_decrypt():
    """A readable plaintext with the wrong number of columns is FRAME_ARITY."""
    assert split(received(f"1|H0BJCNT0|002|{encrypted(PAYLOAD)}"), (KEY, OTHER)).reason == "FRAME_ARITY"


def test_bad_bytes_mark_only_their_own_record():
    """Of several records only the one with bad bytes is marked, and it keeps its raw bytes."""
    spoilt = PAYLOAD.encode("cp949")
    raw = b"0|H0BJCNT0|003|" + b"^".join([PAYLOAD.encode(), spoilt, PAYLOAD.encode()])
    before, bad, after = split(received(raw), ())
    assert before == after == WireRecord(PAYLOAD.split("^"), PAYLOAD)
    assert (bad.raw, bad.is_utf8, len(bad.columns)) == (spoilt, False, WIDTH)


def test_a_decrypted_payload_may_have_bad_bytes():
    """A plaintext that is not UTF-8 is split like a plain payload."""
    spoilt = PAYLOAD.encode("cp949")
    frame = received(f"1|H0BJCNT0|002|{encrypted(spoilt + b'^' + PAYLOAD.encode())}")
    assert split(frame, (KEY,)) == split(received(b"0|H0BJCNT0|002|" + spoilt + b"^" + PAYLOAD.encode()), ())


def test_garbage_of_a_wrong_key_is_a_failure_to_decrypt():
    """A plaintext that is not UTF-8 and has the wrong arity says that the key does not fit."""
    assert split(received(f"1|H0BJCNT0|001|{encrypted(bytes(range(128, 160)))}"), (KEY,)) == BadFrame(
        "DECRYPT_FAILED", "none of the session's 1 keys opens it"
    )


def test_a_cipher_keys_repr_shows_neither_key_nor_iv():
    """The repr hides key and IV from logs and tracebacks."""
    assert KEY.key not in repr(KEY)
    assert KEY.iv not in repr(KEY)


@given(
    raw=st.binary()
    | st.text().map(str.encode)
    | st.tuples(st.sampled_from("01"), st.text()).map(lambda t: f"{t[0]}|H0BJCNT0|001|{t[1]}".encode())
)
def test_arbitrary_bytes_never_raise(raw):
    """Any message gives records or a reason, and never raises."""
    answer = split(received(raw), (KEY,))
    assert isinstance(answer, (list, BadFrame))


@given(st.sampled_from([[PAYLOAD], [PAYLOAD, PAYLOAD], ["short"], [PAYLOAD.replace("채", "\\")]]))
def test_a_decrypted_frame_has_the_records_of_the_encrypted_one(records):
    """The plain frame is that of KIS without encryption, and gives the same records."""
    plain = data(*records)
    sealed = received(plain.replace("0|", "1|", 1).rsplit("|", 1)[0] + "|" + encrypted("^".join(records)))
    assert decrypted(sealed, [OTHER, KEY]) == received(plain)
    assert split(sealed, [OTHER, KEY]) == split(received(plain), ())


@pytest.mark.parametrize(
    "frame",
    [
        received(data(PAYLOAD)),
        received("1|H0OTHER0|001|x"),
        received("1|H0BJCNT0|0|x"),
        received("1|x"),
        received(f"1|H0BJCNT0|001|{encrypted(PAYLOAD)}", binary=True),
    ],
)
def test_what_is_no_encrypted_frame_of_ours_is_left_as_it_is(frame):
    """Plain frames, other TRs, bad headers and binary messages need no key and are not changed."""
    assert decrypted(frame, [KEY]) is frame


def test_an_encrypted_frame_that_no_key_opens_says_why():
    """Without a key, and with a wrong key, the reason is that of the dead letter."""
    sealed = received(f"1|H0BJCNT0|001|{encrypted(PAYLOAD)}")
    assert decrypted(sealed, []).reason == "DECRYPT_NO_KEY"
    assert decrypted(sealed, [OTHER]).reason == "DECRYPT_FAILED"


def test_a_decrypted_frame_keeps_bytes_that_are_not_utf8():
    """Bytes that are not UTF-8 stay as they were encrypted."""
    sealed = received("1|H0BJCNT0|001|" + encrypted(PAYLOAD.encode() + b"\xff"))
    assert decrypted(sealed, [KEY]).raw == data(PAYLOAD).encode() + b"\xff"
