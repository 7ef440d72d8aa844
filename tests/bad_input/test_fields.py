"""Bad-input matrix, fields: a bad column is one reason with its name; neighbours are ticks."""

import pytest

from connector.core.ticks.avro import BadTick, Tick, TickEncoder
from connector.core.ticks.dead_letter import of_record
from connector.core.ticks.frame import split
from tests.bad_input.inputs import FIELDS, ISIN, NAMES, RECORD, frame, record
from tests.bad_input.test_frames import RECEIVED_NS, SCHEMA, received


def judged(text):
    """Return a frame as a message, and the outcome of each of its records."""
    message = received(text if isinstance(text, bytes) else text.encode())
    encoder = TickEncoder(SCHEMA, SCHEMA.single_object_prefix)
    origin = encoder.origin(RECEIVED_NS // 1_000_000)
    return message, [(wire, encoder.encode(wire, origin)) for wire in split(message, ())]


@pytest.mark.parametrize("name", FIELDS)
def test_a_bad_field_is_one_dead_letter(name):
    """A bad record is a dead letter with reason, field, text and key; neighbours are ticks."""
    bad = FIELDS[name]
    message, ((_, before), (wire, refused), (_, after)) = judged(bad.frame)
    assert isinstance(refused, BadTick)
    assert (refused.reason, refused.field) == (bad.reason, bad.field)
    assert refused.detail.isascii()
    assert len(refused.detail) < 200
    assert isinstance(before, Tick)
    assert before == after
    letter = of_record(message, wire, refused)
    assert (letter.key, letter.value) == (None if bad.field == "STND_ISCD" else ISIN.encode(), bad.record)
    assert dict(letter.headers)["field"] == bad.field.encode()


def test_the_first_bad_field_is_named():
    """Of several bad columns, the first in wire order gives the reason."""
    _, [(_, refused)] = judged(frame(record(STCK_CNTG_HOUR="noon", STCK_PRPR="", ACML_VOL="x")))
    assert (refused.reason, refused.field) == ("FIELD_TIME", "STCK_CNTG_HOUR")


@pytest.mark.parametrize(("place", "reason"), [(1, "FIELD_TIME"), (2, "FIELD_TIME")])
def test_a_caret_in_the_bond_name_publishes_no_shifted_tick(place, reason):
    """A `^` in the name looks like an appended column, but the shifted columns are bad."""
    columns = RECORD.split("^")
    columns[1] = columns[1][:place] + "^" + columns[1][place:]
    _, [(wire, refused)] = judged(frame("^".join(columns)))
    assert len(wire.columns) == len(NAMES) + 1
    assert refused.reason == reason
    assert refused.field == "STCK_CNTG_HOUR"


def test_a_caret_before_a_name_that_is_a_time_is_stopped_by_a_later_field():
    """Even a name that ends in `^` and six digits is caught, by a later column."""
    columns = RECORD.split("^")
    columns[1] = "국고^131743"
    _, [(_, refused)] = judged(frame("^".join(columns)))
    assert isinstance(refused, BadTick)
