"""Decompresses batches of records up to a bound, because kilobytes can unpack to gigabytes."""

from __future__ import annotations

import gzip
import io
import mmap
import struct
import zlib
from typing import TYPE_CHECKING, Final

import cramjam

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES: Final = 32 * 2**20
# A stream of snappy's Java library (xerial) begins with this mark and two version numbers.
_XERIAL: Final = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
_FULL: Final = "failed to write whole buffer"


class Undecodable(Exception):
    """The batch cannot be decompressed, or it exceeds the bound; the text says which."""


def gzip_decode(payload: bytes) -> bytes:
    """Decompress gzip. Raises Undecodable."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(payload)) as file:
            unpacked = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Undecodable(f"not gzip: {error}") from error
    if len(unpacked) > MAX_BYTES:
        raise _too_large()
    return unpacked


def lz4_decode(payload: bytes) -> bytes:
    """Decompress LZ4 frames. Raises Undecodable."""
    return _decode_into(cramjam.lz4.decompress_into, payload)


def zstd_decode(payload: bytes) -> bytes:
    """Decompress Zstandard frames. Raises Undecodable."""
    return _decode_into(cramjam.zstd.decompress_into, payload)


def snappy_decode(payload: bytes) -> bytes:
    """Decompress one Snappy block or a xerial stream. Raises Undecodable."""
    data = bytes(payload)
    if not data.startswith(_XERIAL):
        return _decode_block(data, MAX_BYTES)
    unpacked = bytearray()
    place = len(_XERIAL)
    while place < len(data):
        if len(data) < place + 4 or (size := int.from_bytes(data[place : place + 4])) > len(data) - place - 4:
            raise Undecodable("not snappy: a block is cut off")
        place += 4 + size
        unpacked += _decode_block(data[place - size : place], MAX_BYTES - len(unpacked))
    return bytes(unpacked)


def _decode_block(block: bytes, room: int) -> bytes:
    try:
        # The decoder allocates the size that the block's header claims, so check that size first.
        if cramjam.snappy.decompress_raw_len(block) > room:
            raise _too_large()
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise Undecodable(f"not snappy: {error}") from error


def _decode_into(decompress: Callable[[bytes, mmap.mmap], int], payload: bytes) -> bytes:
    # A header may lie about the size, so the output has a fixed size. Only the part of the memory
    # map that is written takes memory.
    with mmap.mmap(-1, MAX_BYTES) as output:
        try:
            return output[: decompress(payload, output)]
        except cramjam.DecompressionError as error:
            if _FULL in str(error):
                raise _too_large() from error
            raise Undecodable(str(error)) from error


def _too_large() -> Undecodable:
    return Undecodable(f"it unpacks to more than {MAX_BYTES // 2**20} MiB")
