"""Reads the tick topic through another Kafka client, so that a client's bug cannot hide."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Self

from connector.core.ticks.avro import decode
from connector.shell.kafka.arguments import librdkafka_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.core.ticks.avro import TickSchema
    from connector.settings import KafkaSettings

POLL_SECONDS = 0.1
POLL_RECORDS = 1_000
METADATA_SECONDS = 2.0
STOP_SECONDS = 5.0
FETCH_WAIT_MS = 50  # librdkafka's own half second would show in the table
# A replay repeats only the ticks of the last moments; the bound saves memory in a demo of days.
MAX_TICK_IDS = 500_000


class Reader:
    """Follows the topic from its first record until the `with` block ends, in a thread.

    Its figures may be read at any time. `positions` has the offset after the last record read, by
    partition.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, schema: TickSchema) -> None:
        self._configuration = client_configuration(kafka)
        self._topic = topic
        self._schema = schema
        self._ids: set[str] = set()
        self._order: deque[str] = deque()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-reader", daemon=True)
        self.distinct = self.duplicates = self.unreadable = self.backfilled = 0
        self.problem: str | None = None
        self.positions: dict[int, int] = {}
        self.latest: dict[str, dict[str, Any]] = {}
        self.ticks: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(STOP_SECONDS)

    def count(self, value: bytes | None) -> None:
        """Count one record's value."""
        try:
            tick = decode(value or b"", self._schema)
        except ValueError as error:
            self.unreadable += 1
            self.problem = str(error)
            return
        tick_id, isin = tick["tick_id"], tick["STND_ISCD"]
        if tick_id in self._ids:
            self.duplicates += 1
            return
        self._ids.add(tick_id)
        self._order.append(tick_id)
        if len(self._order) > MAX_TICK_IDS:
            self._ids.discard(self._order.popleft())
        self.problem = None
        if tick["source"] == "rest":
            self.backfilled += 1
            return
        self.distinct += 1
        self.ticks[isin] += 1
        self.latest[isin] = tick

    def _run(self) -> None:
        # confluent-kafka comes with the extra `demo`; no other command needs it.
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        consumer: Any = Consumer(self._configuration)
        try:
            partitions = self._partitions(consumer)
            consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in partitions])
            while not self._ended.is_set():
                for message in consumer.consume(POLL_RECORDS, timeout=POLL_SECONDS):
                    if message.error() is None:
                        self.count(message.value())
                        self.positions[message.partition()] = message.offset() + 1
                    else:
                        self.problem = str(message.error())
        finally:
            consumer.close()

    def _partitions(self, consumer: Any) -> Sequence[int]:
        """Return the topic's partitions as soon as a broker names them."""
        from confluent_kafka import KafkaException

        while not self._ended.is_set():
            try:
                found = consumer.list_topics(self._topic, timeout=METADATA_SECONDS).topics[self._topic]
            except KafkaException as error:
                self.problem = str(error)
            else:
                if found.partitions:
                    return sorted(found.partitions)
            self._ended.wait(POLL_SECONDS)
        return ()


def client_configuration(kafka: KafkaSettings) -> dict[str, Any]:
    """Return librdkafka's configuration of a reader by itself."""
    return librdkafka_arguments(kafka, "kis-bond-demo") | {
        # librdkafka demands a group; partitions are assigned by hand, and nothing is committed.
        "group.id": "kis-bond-demo",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": FETCH_WAIT_MS,
        "log_level": 0,
    }
