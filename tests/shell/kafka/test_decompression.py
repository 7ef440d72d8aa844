"""Batches are decompressed up to a bound, whatever their headers claim."""

import gzip
import struct

import cramjam
import pytest
from aiokafka import codec

from connector.shell.kafka import decompression
from tests.peak_memory import peak_memory

MIB = 2**20
BOMB = bytes(700 * MIB)
XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)


def xerial(*blocks):
    """Join compressed blocks as snappy's Java library does."""
    return XERIAL + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def unpack(name, payload):
    """Decompress by the codec's name."""
    return getattr(decompression, f"{name}_decode")(payload)


@pytest.fixture(scope="module")
def bombs():
    """Give 700 MiB of zeros, compressed by each codec, and in many blocks or members."""
    block = bytes(cramjam.snappy.compress_raw(bytes(MIB)))
    return {
        ("gzip", "whole"): gzip.compress(BOMB),
        ("gzip", "members"): gzip.compress(bytes(MIB)) * 700,
        ("lz4", "whole"): bytes(cramjam.lz4.compress(BOMB)),
        ("lz4", "frames"): bytes(cramjam.lz4.compress(bytes(MIB))) * 700,
        ("zstd", "whole"): bytes(cramjam.zstd.compress(BOMB)),
        ("zstd", "frames"): bytes(cramjam.zstd.compress(bytes(MIB))) * 700,
        ("snappy", "whole"): bytes(cramjam.snappy.compress_raw(BOMB)),
        ("snappy", "blocks"): xerial(*[block] * 700),
    }


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name, shapes in (
            ("gzip", ("whole", "members")),
            ("lz4", ("whole", "frames")),
            ("zstd", ("whole", "frames")),
            ("snappy", ("whole", "blocks")),
        )
        for shape in shapes
    ],
)
def test_a_batch_above_the_bound_is_refused(bombs, name, shape):
    """A batch that unpacks to more than 32 MiB is refused, and takes little more memory than that."""
    with peak_memory() as peak, pytest.raises(decompression.Undecodable, match="unpacks to more than 32 MiB"):
        unpack(name, bombs[name, shape])
    assert peak.grown_bytes < 80 * MIB


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd", "snappy"])
@pytest.mark.parametrize("size", [0, 1, 100_000, decompression.MAX_BYTES])
def test_a_batch_within_the_bound_is_unpacked(name, size):
    """Everything up to 32 MiB comes out as it went in."""
    content = bytes(range(256)) * (size // 256 + 1)
    assert unpack(name, getattr(codec, f"{name}_encode")(content[:size])) == content[:size]


def test_snappy_may_come_as_one_block():
    """A block without the stream of snappy's Java library is unpacked as well."""
    assert unpack("snappy", codec.snappy_encode(b"abc", xerial_compatible=False)) == b"abc"


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        *((name, b"no such thing") for name in ("gzip", "lz4", "zstd", "snappy")),
        ("snappy", b"\xff\xff\xff\xff\x0f\x00a"),  # claims 4 GiB
        ("snappy", xerial(b"")),
        ("snappy", XERIAL + struct.pack(">i", -4)),
        ("snappy", XERIAL + struct.pack(">i", 100) + b"cut"),
        ("snappy", XERIAL + b"\0"),
        ("zstd", bytes(cramjam.zstd.compress(BOMB[:100]))[:-3]),
        ("lz4", bytes(cramjam.lz4.compress(BOMB[:100]))[:-3]),
        ("gzip", gzip.compress(BOMB[:100])[:-3]),
    ],
)
def test_a_damaged_batch_is_refused(name, payload):
    """Garbage, a cut batch and a header that lies are each refused."""
    with pytest.raises(decompression.Undecodable):
        unpack(name, payload)


def test_a_window_larger_than_the_bound_is_refused():
    """A Zstandard frame that asks for a window of gigabytes gets none."""
    window_of_3_gib = bytes([21 << 3 | 4])
    with pytest.raises(decompression.Undecodable):
        unpack("zstd", b"\x28\xb5\x2f\xfd\x00" + window_of_3_gib + b"\x01\x00\x00")
