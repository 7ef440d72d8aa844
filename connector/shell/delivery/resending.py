"""Sends the records of a refused batch again, with other timestamps or in smaller batches."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import InvalidTimestampError, KafkaError

from connector.shell.delivery.batch import Batch, Record, size_as_sent
from connector.shell.delivery.refusals import TOO_LARGE, refused_places

if TYPE_CHECKING:
    from collections.abc import Callable

ACCEPTED_BEFORE_GROWTH: Final = 50  # so many batches, against the two that a refusal costs


class Resending:
    """The records of one lane that are sent again before any later one, in order.

    If Kafka does not say which records it refuses, a batch holds at most `_at_most` of them. This
    number is halved after each refusal and doubled after each acknowledgement. So one bad record
    costs a few small batches, and a run of bad records one small batch each.
    """

    def __init__(self) -> None:
        # Batches above this size, before compression, are too large for the topic.
        self.most_bytes: int | None = None
        self._accepted = 0
        self._records: deque[Record] = deque()
        self._at_most = 1
        self._too_large: int | None = None

    def __bool__(self) -> bool:
        return bool(self._records)

    @property
    def first(self) -> int:
        """The position of the first record."""
        return self._records[0].position

    def clear(self) -> None:
        """Forget all records; they are read from the journal again."""
        self._records.clear()
        self.most_bytes = self._too_large = None

    def next_batch(self, create: Callable[[], Any], topic: str, partition: int) -> Batch:
        """Take the next batch, whose builder `create` makes."""
        builder = create()
        batch = Batch(topic, partition, builder, builder.append, self.first)
        while self._records and len(batch.resent) < self._at_most and batch.take(self._records[0]):
            self._records.popleft()
        return batch

    def put_back(self, batch: Batch, error: KafkaError, now_ms: int, create: Callable[[], Any]) -> list[Record]:
        """Keep what is left of a refused batch; return the records that Kafka refuses for good.

        `create` makes builders, by which single records are measured.
        """
        records = batch.records()
        if not self._records:
            self._at_most = len(records)
        places = refused_places(error, len(records))
        restamp = isinstance(error, InvalidTimestampError)
        if places is None and restamp and all(record.with_next_stamp(now_ms) for record in records):
            places = frozenset(range(len(records)))
        if places is None:
            self._halve(records, error)
            return []
        kept, refused = [], []
        for place, record in enumerate(records):
            again = record if place not in places else record.with_next_stamp(now_ms) if restamp else None
            if again is None:
                refused.append(record)
            else:
                kept.append(again)
        self._records.extendleft(reversed(kept))
        return refused + self._as_large(batch, create) if isinstance(error, TOO_LARGE) else refused

    def note_acknowledged(self) -> None:
        """Make the next batch larger, or learn the topic's limit if no record was to blame.

        The limit grows while batches are accepted, because it may have been raised.
        """
        self._accepted += 1
        if self._records:
            self._at_most *= 2
        elif self._too_large is not None:
            self.most_bytes, self._too_large, self._accepted = self._too_large // 2, None, 0
        elif self.most_bytes is not None and self._accepted >= ACCEPTED_BEFORE_GROWTH:
            self.most_bytes, self._accepted = self.most_bytes * 3 // 2, 0

    def _halve(self, records: list[Record], error: KafkaError) -> None:
        self._at_most = len(records) // 2
        self._records.extendleft(reversed(records))
        if isinstance(error, TOO_LARGE):
            self._too_large = sum(record.bytes for record in records)

    def _as_large(self, batch: Batch, create: Callable[[], Any]) -> list[Record]:
        """Remove and return the records that are alone as large as a refused one."""
        self._too_large, bound = None, batch.bytes()
        refused: list[Record] = []
        others: deque[Record] = deque()
        for record in self._records:
            (refused if _bytes_alone(record, create()) >= bound else others).append(record)
        self._records = others
        return refused


def _bytes_alone(record: Record, builder: Any) -> int:
    record.append_to(builder)
    return size_as_sent(builder)
