"""A dead letter becomes the frame it came from, and is sent only if decoding can read it."""

import pytest

from connector.core.ticks import dead_letter
from connector.core.ticks.avro import BadTick, Tick, TickEncoder, TickSchema, decode
from connector.core.ticks.frame import BadFrame, Received, WireRecord, split
from connector.core.ticks.letter_replay import Unusable, attempt, frame_of
from connector.packaged_files import bond_tick
from tests.core.ticks.test_frame import PAYLOAD, data

SCHEMA = TickSchema(bond_tick())
ENCODER = TickEncoder(SCHEMA, b"")
FRAME = Received(1_795_148_264_123_456_789, 3, 1, False, data(PAYLOAD).encode())


def record(text):
    """Return a record with the columns of a text."""
    return WireRecord(text.split("^"), text)


def test_a_letter_of_a_frame_is_that_frame():
    """A bad frame comes back with its bytes, receive time and slot."""
    letter = dead_letter.of_frame(FRAME, BadFrame("FRAME_ARITY", "x"))
    assert frame_of(letter.value, letter.headers) == FRAME._replace(session=0)


def test_a_binary_message_stays_one():
    """A letter for a binary message is judged as a binary message again."""
    letter = dead_letter.of_frame(FRAME, BadFrame("FRAME_KIND", "x"))
    assert frame_of(letter.value, letter.headers).binary


@pytest.mark.parametrize("text", [PAYLOAD, PAYLOAD + "^added", PAYLOAD[: PAYLOAD.rindex("^") + 1]])
def test_a_letter_of_a_record_gives_the_tick_of_that_record(text):
    """The tick of one of several records in a frame is the same, tick_id included."""
    origin = ENCODER.origin(FRAME.received_ns // 1_000_000)
    wanted = ENCODER.encode(record(text), origin)
    assert isinstance(wanted, Tick)
    letter = dead_letter.of_record(FRAME, record(text), BadTick("FIELD_NUMBER", "x", "STCK_PRPR", None))
    (found,) = split(frame_of(letter.value, letter.headers), ())
    assert ENCODER.encode(found, origin) == wanted
    assert decode(b"\0\0\0\0\0" + wanted.value, SCHEMA)["tick_id"]


def test_a_letter_that_was_shortened_or_changed_is_not_sent():
    """What is left of a frame could be read as another one."""
    long = dead_letter.of_frame(FRAME._replace(raw=b"x" * 20_000), BadFrame("FRAME_HEADER", "x"))
    changed = dead_letter.without_secrets(
        dead_letter.of_frame(FRAME._replace(raw=b'{"key":"secret"}'), BadFrame("FRAME_HEADER", "x")),
        lambda text, _: text,
        lambda text: text,
    )
    cut = dead_letter.without_secrets(
        dead_letter.of_frame(FRAME._replace(raw=b"x" * 70_000), BadFrame("FRAME_HEADER", "x")),
        lambda text, limit: text[:limit],
        lambda text: text,
    )
    for letter in (dead_letter.forms(long, 1, 0)[-1], changed, cut):
        with pytest.raises(Unusable, match="only a part"):
            frame_of(letter.value, letter.headers)


@pytest.mark.parametrize(
    "headers",
    [[], [("received-ns", b"x"), ("slot", b"0")], [("received-ns", b"1" * 5000), ("slot", b"0")], [("slot", b"-1")]],
)
def test_a_record_that_is_no_dead_letter_is_not_sent(headers):
    """Without a receive time and a slot it is none of ours."""
    with pytest.raises(Unusable, match="not those of a dead letter"):
        frame_of(b"x", [("reason", b"FRAME_HEADER"), *headers])


def test_an_attempt_counts_what_is_good_and_what_is_bad():
    """Of a frame, the good records are counted, and the bad ones by reason."""
    bad = PAYLOAD.replace("^131743^", "^999999^")
    assert bad != PAYLOAD
    assert attempt(FRAME, ENCODER) == (1, {})
    assert attempt(FRAME._replace(raw=data(PAYLOAD, bad).encode()), ENCODER) == (1, {"FIELD_TIME": 1})
    assert attempt(FRAME._replace(raw=b"x"), ENCODER) == (0, {"FRAME_HEADER": 1})


def test_a_frame_that_trips_a_bug_stays_a_dead_letter(monkeypatch):
    """Whatever decoding raises, the attempt says BUG."""
    monkeypatch.setattr(ENCODER, "encode", lambda *_: 1 / 0)
    assert attempt(FRAME, ENCODER) == (0, {"BUG": 1})
