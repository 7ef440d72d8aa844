"""The partition of a key, as Kafka's Java client chooses it, so that joins with what others produce are co-partitioned.

Source: `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey` of kafka-clients.
"""

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_32_BITS = 0xFFFFFFFF
_POSITIVE = 0x7FFFFFFF


def partition(key: bytes, count: int) -> int:
    """Return the partition, from 0, of a key in a topic of `count` partitions. `ValueError` for a count below 1."""
    if count < 1:
        raise ValueError(f"A topic has at least one partition, not {count}")
    return (murmur2(key) & _POSITIVE) % count


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of the bytes, unsigned, where Java shows the same bits with a sign."""
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
