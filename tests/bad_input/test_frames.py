"""Bad-input matrix, frames: a bad one has one reason, and an odd but good one is published."""

import pytest

from connector.core.cipher_key import CipherKey
from connector.core.ticks.avro import TickEncoder, TickSchema, decode
from connector.core.ticks.dead_letter import of_frame
from connector.core.ticks.frame import BadFrame, Received, split
from connector.packaged_files import bond_tick
from tests.bad_input.inputs import ACCEPTED, FRAMES, IV, KEY

SCHEMA = TickSchema(bond_tick())
KEYS = (CipherKey(KEY, IV),)
RECEIVED_NS = 1_795_148_264_123_000_000  # 2026-11-20 13:17:44.123 in Seoul


def received(raw, *, binary=False):
    """Return a message as the journal holds it."""
    return Received(RECEIVED_NS, 3, 7, binary, raw)


@pytest.mark.parametrize("name", FRAMES)
def test_a_bad_frame_is_one_dead_letter(name):
    """A bad frame's dead letter has its reason and bytes and no key, with any cipher keys."""
    message = received(FRAMES[name].raw, binary=FRAMES[name].binary)
    for keys in ((), KEYS):
        bad = split(message, keys)
        assert isinstance(bad, BadFrame)
        assert bad.reason == FRAMES[name].reason
    letter = of_frame(message, bad)
    assert (letter.key, letter.value) == (None, FRAMES[name].raw)
    assert dict(letter.headers) == {
        "reason": bad.reason.encode(),
        "detail": bad.detail.encode("ascii"),
        "received-ns": b"%d" % RECEIVED_NS,
        "slot": b"3",
    }
    assert len(bad.detail) < 200


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_odd_frame_is_published(name):
    """Changes KIS may make cost no tick: nineteen columns, and the others in `extra`."""
    text, extras = ACCEPTED[name]
    records = split(received(text if isinstance(text, bytes) else text.encode()), ())
    encoder = TickEncoder(SCHEMA, SCHEMA.single_object_prefix)
    ticks = [
        decode(encoder.encode(record, encoder.origin(RECEIVED_NS // 1_000_000)).value, SCHEMA) for record in records
    ]
    assert [tick["extra"] for tick in ticks] == extras
    assert [tick["STND_ISCD"] for tick in ticks] == [record.text[:12] for record in records]
