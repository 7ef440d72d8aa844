"""Chooses a key's partition as Kafka's Java client does, so that joins are co-partitioned.

Source: `common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of kafka-clients.
"""

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_32_BITS = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def partition(key: bytes, count: int) -> int:
    """Return a key's partition, counted from 0. Raises ValueError if `count` is below 1."""
    if count < 1:
        raise ValueError(f"A topic has at least one partition, not {count}")
    return (murmur2(key) & _POSITIVE) % count


def murmur2(data: bytes) -> int:
    """Return the unsigned 32-bit MurmurHash2 of the bytes; Java shows the same bits signed."""
    whole = len(data) & ~3
    value = (_SEED ^ len(data)) & _32_BITS
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _32_BITS
        word = (word ^ word >> 24) * _MULTIPLIER & _32_BITS
        value = value * _MULTIPLIER & _32_BITS ^ word
    if rest := data[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _32_BITS
    value = (value ^ value >> 13) * _MULTIPLIER & _32_BITS
    return value ^ value >> 15
