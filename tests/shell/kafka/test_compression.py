"""Batches are compressed where that gains something."""

import cramjam
import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record import MemoryRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from connector.shell.kafka.compression import COMPRESSED_FROM_BYTES, ZSTD_LEVEL

HEADER_BYTES = 61  # of a record batch, version 2
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def sent(codec, values):
    """Return the codec that a batch names, and its records' values as a reader finds them."""
    builder = BatchBuilder(2**20, CODECS[codec])
    for value in values:
        builder.append(timestamp=1, key=b"k", value=value, headers=[])
    records = MemoryRecords(bytes(builder._build()))
    assert records.has_next()
    batch = records.next_batch()
    assert batch.validate_crc()
    return batch.compression_type, [record.value for record in batch]


@pytest.mark.parametrize("codec", CODECS)
def test_only_a_large_batch_is_compressed(codec):
    """A few records go as they are, many are compressed, and each is read as it was."""
    few, many = [b"x" * 200] * 2, [b"x" * 200] * 8
    assert sum(map(len, few)) < COMPRESSED_FROM_BYTES < sum(map(len, many))
    assert sent(codec, few) == (0, few)
    assert sent(codec, many) == (CODECS[codec], many)


@pytest.mark.parametrize("codec", CODECS.values())
def test_other_builders_of_batches_compress_what_their_header_names(codec):
    """A batch that is built without the producer's builder is readable, however small it is."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 2**20)
    builder.append(0, timestamp=1, key=b"k", value=b"small", headers=[])
    records = MemoryRecords(bytes(builder.build()))
    assert records.has_next()
    assert [record.value for record in records.next_batch()] == [b"small"]


def test_zstandard_compresses_at_its_fast_level():
    """The records of a batch are what Zstandard makes of them at ZSTD_LEVEL."""
    builder = BatchBuilder(2**20, CODECS["zstd"])
    for number in range(400):
        builder.append(timestamp=number, key=b"k", value=f"{number * number}".encode() * 8, headers=[])
    sent_records = bytes(builder._build())[HEADER_BYTES:]
    records = bytes(cramjam.zstd.decompress(sent_records))
    assert sent_records == bytes(cramjam.zstd.compress(records, level=ZSTD_LEVEL))
    assert sent_records != bytes(cramjam.zstd.compress(records, level=3))
