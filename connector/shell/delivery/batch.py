"""A batch of one partition's records, and its single records once Kafka has refused it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from aiokafka.record import MemoryRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connector.core.ticks.dead_letter import DeadLetterReason
    from connector.shell.delivery.letters import Letter

# Kafka checks no record without a timestamp.
NO_TIMESTAMP: Final = -1
OVERHEAD_BYTES: Final = 20  # lengths, offset and stamp of one record in a batch


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a refused batch.

    `reason` is None for a tick. `stamps` is the number of stamps that were tried after its own.
    """

    position: int
    received_ns: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    reason: DeadLetterReason | None = None
    stamps: int = 0

    def with_next_stamp(self, now_ms: int) -> Record | None:
        """Return the record with the next timestamp to try, or None if Kafka refused all of them.

        After the record's own time follow the receive time, the present, and no timestamp.
        """
        stamps = (self.received_ns // 1_000_000, now_ms, NO_TIMESTAMP)
        for tried in range(self.stamps, len(stamps)):
            if stamps[tried] != self.timestamp_ms:
                return replace(self, timestamp_ms=stamps[tried], stamps=tried + 1)
        return None

    @property
    def bytes(self) -> int:
        """About how much the record adds to its batch before compression."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return OVERHEAD_BYTES + len(self.key or b"") + len(self.value) + headers

    def append_to(self, builder: Any) -> bool:
        """Append the record to aiokafka's builder; return whether it fitted."""
        stamp, headers = self.timestamp_ms, self.headers
        return builder.append(timestamp=stamp, key=self.key, value=self.value, headers=headers) is not None


@dataclass(slots=True)
class Batch:
    """One batch of records for one partition.

    `builder` is aiokafka's. `append` adds a record to it, within the lane's limit. `first` and
    `last` are the positions of the first and the last record. `positions` and `received_ns` hold
    each record's position and receive time. `reasons` holds one reason for each dead letter, and is
    empty for ticks. `letters` are the dead letters of a batch that is out of order. `sent_at` is
    the loop's time of its departure, and `error` why Kafka does not have it.
    """

    topic: str
    partition: int
    builder: Any
    append: Callable[..., Any]
    first: int
    last: int = 0
    positions: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    reasons: list[DeadLetterReason] = field(default_factory=list)
    letters: Sequence[Letter] = ()
    resent: list[Record] = field(default_factory=list)
    sent_at: float = 0.0
    error: BaseException | None = None

    def take(self, record: Record) -> bool:
        """Append a record that is sent again, and return whether the batch took it.

        After a first record without a timestamp, only others without one are taken. aiokafka stores
        timestamps as distances from the first one that there is, so it would give the later
        timestamp to the records before it.
        """
        is_kept_apart = self.resent and self.resent[0].timestamp_ms == NO_TIMESTAMP != record.timestamp_ms
        if is_kept_apart or not record.append_to(self.builder):
            return False
        self.last = record.position
        self.positions.append(record.position)
        self.received_ns.append(record.received_ns)
        if record.reason is not None:
            self.reasons.append(record.reason)
        self.resent.append(record)
        return True

    def records(self) -> list[Record]:
        """Return the records of a closed batch."""
        return self.resent or [
            Record(position, received_ns, one.timestamp, one.key, one.value, one.headers, reason)
            for one, position, received_ns, reason in zip(
                _read(self.builder), self.positions, self.received_ns, self.reasons or repeat(None), strict=False
            )
        ]

    def bytes(self) -> int:
        """Return the size of a closed batch as it is sent."""
        return size_as_sent(self.builder)


def size_as_sent(builder: Any) -> int:
    """Return the size of a closed builder's batch after compression."""
    return len(builder._build())  # noqa: SLF001 - no public way; the version is pinned


def _read(builder: Any) -> Any:
    batches = MemoryRecords(bytes(builder._build()))  # noqa: SLF001 - no public way; the version is pinned
    batches.has_next()
    return batches.next_batch()


def append_up_to(builder: Any, most_bytes: int) -> Callable[..., Any]:
    """Return the builder's `append` with a lower limit, which the first record may exceed."""

    def append(**record: Any) -> Any:
        if builder.record_count() and builder.size() + len(record["value"]) > most_bytes:
            return None
        return builder.append(**record)

    return append
