"""All pipelines write the same tick."""

import pytest
from confluent_kafka.serialization import MessageField, SerializationContext

from benchmarks import confluent, plain_tick
from benchmarks.encoders import ENCODERS
from benchmarks.instructions import RECEIVED_NS, counted, received_frames
from connector.core.ticks.avro import SINGLE_OBJECT_MARK, TickSchema, decode
from connector.packaged_files import bond_tick

SCHEMA = TickSchema(bond_tick())
OF_ITS_OWN = ("tick_id", "trade_date", "traded_at", "received_at")  # only the connector has identities and dates


def fields(values, prefix=b""):
    """Return the fields of each value that all pipelines must agree on."""
    decoded = [decode(prefix + value, SCHEMA) for value in values]
    return [{name: value for name, value in each.items() if name not in OF_ITS_OWN} for each in decoded]


@pytest.mark.parametrize("per_frame", [1, 19])
def test_encoders_agree(per_frame):
    """Connector, fastavro and Confluent's serializer write the same columns of the same ticks."""
    received = received_frames(200, per_frame)
    ours = fields(ENCODERS["connector"]()(received))
    assert len(ours) == 200
    framing = SINGLE_OBJECT_MARK + SCHEMA.fingerprint
    assert fields(ENCODERS["straightforward"]()(received), framing) == ours
    serialize, context = confluent.serializer(), SerializationContext("ticks", MessageField.VALUE)
    theirs = [
        serialize(plain_tick.plain_tick(columns, plain_tick.received_at(frame.received_ns)), context)
        for frame in received
        for columns in plain_tick.split(frame.raw.decode())
    ]
    assert fields(theirs) == ours


def test_receive_times_are_of_one_day():
    """The frames are received from one moment on, a tenth of a millisecond apart."""
    assert [frame.received_ns - RECEIVED_NS for frame in received_frames(3, 1)] == [0, 100_000, 200_000]


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("a warning of the program\n123456,,instructions:u,1000,100.00,,\n", 123456),
        ("<not supported>,,instructions:u,0,100.00,,\n", None),
        ("<not counted>,,instructions:u,0,0.00,,\n", None),
        ("", None),
    ],
)
def test_count_of_perf(said, count):
    """The count is read from the line of perf, and is absent where perf cannot count."""
    assert counted(said) == count
