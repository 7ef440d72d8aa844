"""Compresses batches as far as it is worth it: at a fast level, and small ones not at all.

Importing the module changes aiokafka, of which the pinned version is meant.
"""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from struct import Struct
from typing import Any, Final

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as fast_default_records
from aiokafka.record.util import calc_crc32c

# Less than this, some three ticks, saves 0.3 KB at most. Zstandard needs 14 us for it, as much as
# decoding the three ticks.
COMPRESSED_FROM_BYTES: Final = 1024
# Ticks shrink as at Zstandard's usual level 3, within a twentieth, in two thirds of the time.
# Its tables are smaller, too, so that the caches of encoded values stay in the core's cache.
ZSTD_LEVEL: Final = 1
# Kafka's record batch, version 2: the checksum covers all from the attributes on, whose lowest
# three bits name the codec.
_HEADER_BYTES: Final = 61
_CRC_AT: Final = 17
_ATTRIBUTES_AT: Final = 21
_CODEC_BITS: Final = 0b111
_CRC: Final = Struct(">I")

# Whether a small batch is being built, so that its codec leaves the records as they are.
_is_small: Final = ContextVar("is_small", default=False)
_build: Final[Any] = BatchBuilder._build  # noqa: SLF001 - no public way


def _unless_small(compress: Callable[..., bytes], **settings: int) -> Callable[..., bytes]:
    """Return a codec function that leaves the records as they are while a small batch is built."""

    @functools.wraps(compress)
    def compressed(records: Any) -> bytes:
        return bytes(records) if _is_small.get() else compress(records, **settings)

    return compressed


def _build_unless_small(builder: Any) -> Any:
    """Return the batch; if it is small, its header names no codec.

    aiokafka asks the codec to compress, however small a batch is, and then names the codec.
    """
    if builder._buffer is not None or builder.size() >= COMPRESSED_FROM_BYTES + _HEADER_BYTES:  # noqa: SLF001 - no public way
        return _build(builder)
    token = _is_small.set(True)
    try:
        buffer = builder._buffer = bytearray(_build(builder))  # noqa: SLF001 - as above
    finally:
        _is_small.reset(token)
    buffer[_ATTRIBUTES_AT + 1] &= ~_CODEC_BITS
    _CRC.pack_into(buffer, _CRC_AT, calc_crc32c(buffer[_ATTRIBUTES_AT:]))
    return buffer


for _records in (default_records, fast_default_records):
    for _codec in ("gzip_encode", "snappy_encode", "lz4_encode", "zstd_encode"):
        _settings = {"level": ZSTD_LEVEL} if _codec == "zstd_encode" else {}
        setattr(_records, _codec, _unless_small(getattr(_records, _codec), **_settings))
BatchBuilder._build = _build_unless_small  # type: ignore[method-assign]  # noqa: SLF001 - no public way
