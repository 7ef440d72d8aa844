"""A recording holds what the journal holds, decrypted and without secrets."""

import json

import pytest

from connector.app.record import record
from connector.core.cipher_key import CipherKey
from connector.core.journal.record import Block, Key
from connector.core.ticks.frame import Received
from connector.core.time_span import Span
from connector.errors import RequestMalformed
from connector.shell.recordings import frames
from tests.core.ticks.test_frame import PAYLOAD, data, encrypted
from tests.shell.journal.test_inspection import segment

NS = 1_795_148_263_000_000_001
KEY, LATER = CipherKey("canarycanarycanarycanarycanary01", "canary0123456789"), CipherKey("b" * 32, "c" * 16)
ALL = Span(None, None)
SEALED = f"1|H0BJCNT0|001|{encrypted(PAYLOAD, KEY)}"


def received(number, raw, *, session=1, slot=0, binary=False):
    """Return a frame received in this second."""
    return Received(NS + number * 10**9, slot, session, binary, raw if isinstance(raw, bytes) else raw.encode())


def written(tmp_path, *items):
    """Write a journal of one segment, record it, and return the result and the frames."""
    (tmp_path / "journal").mkdir()
    segment(tmp_path / "journal", 1, *items)
    recorded = record(tmp_path / "journal", tmp_path / "day.jsonl.gz", ALL, lambda *_: None)
    return recorded, list(frames(tmp_path / "day.jsonl.gz"))


def test_frames_keep_their_bytes_times_and_slots(tmp_path):
    """Good and bad frames are recorded as received; the session is left out."""
    sent = [
        received(0, data(PAYLOAD)),
        received(1, "9|nonsense", slot=3),
        received(0, b"0|H0BJCNT0|001|\xff"),
        received(2, b"\x01\xff", binary=True),
    ]
    recorded, found = written(tmp_path, Block(1, sent))
    assert found == [frame._replace(session=0) for frame in sent]
    assert (recorded.frames, recorded.first_ns, recorded.last_ns) == (4, NS, NS + 2 * 10**9)
    assert (recorded.cleaned, recorded.undecryptable) == (0, {})


def test_encrypted_frames_are_recorded_decrypted(tmp_path):
    """A frame is opened by its session's key, even if the key is stored after it."""
    plain = received(0, data(PAYLOAD))
    recorded, found = written(tmp_path, Block(1, [received(0, SEALED)]), Key(1, 0, 1, LATER), Key(1, 0, 1, KEY))
    assert found == [plain._replace(session=0)]
    assert recorded.undecryptable == {}


def test_frames_that_cannot_be_decrypted_are_counted(tmp_path):
    """Without a key, or with the key of another session, a frame is left out and counted."""
    block = Block(1, [received(0, SEALED), received(1, SEALED, session=2), received(2, data(PAYLOAD))])
    recorded, found = written(tmp_path, Key(0, 0, 1, LATER), block)
    assert [frame.received_ns for frame in found] == [NS + 2 * 10**9]
    assert recorded.undecryptable == {"DECRYPT_FAILED": 1, "DECRYPT_NO_KEY": 1}


def test_no_secret_is_recorded(tmp_path):
    """Keys in replies that were not recognised, and keys of the journal anywhere, are hidden."""
    reply = json.dumps({"body": {"output": {"iv": KEY.iv, "key": KEY.key}}})
    block = Block(
        1,
        [
            received(0, SEALED),
            received(1, f"[{reply}]"),
            received(2, reply, binary=True),
            received(3, f'0|H0BJCNT0|001|"approval_key":"{"a1b2" * 9}"'),
            received(4, f"nonsense {KEY.key}"),
        ],
    )
    recorded, found = written(tmp_path, Key(0, 0, 1, KEY), block)
    text = b" ".join(frame.raw for frame in found)
    assert len(found) == 5
    assert recorded.cleaned == 4
    for secret in (KEY.key, KEY.iv, "a1b2" * 9):
        assert secret.encode() not in text


def test_only_a_span_is_recorded(tmp_path):
    """Frames before the span and at its end are left out."""
    segment(tmp_path, 1, Block(1, [received(number, data(PAYLOAD)) for number in range(4)]))
    file = tmp_path / "day.jsonl.gz"
    assert record(tmp_path, file, Span(NS + 10**9, NS + 3 * 10**9), lambda *_: None).frames == 2
    assert [frame.received_ns for frame in frames(file)] == [NS + 10**9, NS + 2 * 10**9]


def test_without_a_journal_there_is_no_file(tmp_path):
    """A mistaken folder leaves nothing behind."""
    with pytest.raises(RequestMalformed):
        record(tmp_path / "missing", tmp_path / "day.jsonl.gz", ALL, lambda *_: None)
    assert not list(tmp_path.iterdir())
