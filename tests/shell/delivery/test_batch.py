"""A batch can be taken apart after it was built, and its records get later stamps."""

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record import MemoryRecords

from connector.shell.delivery.batch import NO_TIMESTAMP, Batch, Record, size_as_sent


@pytest.mark.parametrize("codec", [0, 4], ids=["none", "zstd"])
def test_the_records_of_a_built_batch_are_those_that_went_in(codec):
    """Stamps, keys, values and headers are read back from the bytes that Kafka refused."""
    builder = BatchBuilder(10_000, codec)
    batch = Batch("letters", 0, builder, builder.append, 1)
    records = [
        Record(1, 11, 1_700_000_000_000, b"k", b"v" * 300, [("a", b"1")], "FIELD_TIME"),
        Record(7, 12, NO_TIMESTAMP, None, b"", [], "FRAME_TR"),
    ]
    for record in records:
        assert record.append_to(builder)
        batch.positions.append(record.position)
        batch.received_ns.append(record.received_ns)
        batch.reasons.append(record.reason)
    assert batch.records() == records
    assert batch.bytes() == size_as_sent(builder) == builder.size()


@pytest.mark.parametrize("stamps", [[-1, 7, 7], [-1, -1, 7], [7, -1, 8], [-1, -1]])
def test_each_record_that_is_sent_again_keeps_its_own_stamp(stamps):
    """A record without a stamp has none in the built batch either, whatever else was taken."""
    builder = BatchBuilder(10_000, 0)
    batch = Batch("ticks", 0, builder, builder.append, 1)
    taken = [stamp for number, stamp in enumerate(stamps) if batch.take(Record(number, 1, stamp, b"k", b"v", []))]
    builder.close()
    written = MemoryRecords(bytes(builder._build()))
    assert written.has_next()
    assert [one.timestamp for one in written.next_batch()] == taken == [one.timestamp_ms for one in batch.records()]
    assert taken == stamps if stamps[0] != NO_TIMESTAMP else set(taken) == {NO_TIMESTAMP}


def test_stamps_follow_each_other_and_end():
    """Own time, receive time, present, none; a stamp equal to the refused one is passed over."""
    record = Record(1, 5_000_000, 4, b"k", b"v", ())
    stamps = []
    while record := record.with_next_stamp(9):
        stamps.append(record.timestamp_ms)
    assert stamps == [5, 9, NO_TIMESTAMP]
    assert Record(1, 5_000_000, 5, b"k", b"v", ()).with_next_stamp(9).timestamp_ms == 9
