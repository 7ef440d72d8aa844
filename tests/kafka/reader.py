"""Kafka through another client than the connector's, so that no client's bug can hide itself."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

T = TypeVar("T")
QUIET: dict[str, Any] = {"log_level": 0}


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as a reader sees it, with the record's own timestamp."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes | None], ...]

    def header(self, name: str) -> str | None:
        """Return the text of the first header of that name."""
        return next((value.decode() for found, value in self.headers if found == name and value is not None), None)


def read_all(
    bootstrap_servers: str, topic: str, *, seconds: float = 30, isolation: str = "read_committed", **options: Any
) -> list[Record]:
    """Return a topic's records up to its present ends, each partition in order.

    `options` are further settings of librdkafka, with `_` for `.`.
    Raises `KafkaException` if the ends stay unknown, `TimeoutError` if they are not reached.
    """
    settings = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": "unused",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": False,
        "isolation.level": isolation,
    }
    consumer = Consumer(QUIET | settings | {name.replace("_", "."): value for name, value in options.items()})
    try:
        return _read(consumer, topic, time.monotonic() + seconds)
    finally:
        consumer.close()


def _read(consumer: Consumer, topic: str, deadline: float) -> list[Record]:
    partitions = _partitions(consumer, topic, deadline)
    ends = {}
    for number in partitions:
        first, end = _patiently(
            partial(consumer.get_watermark_offsets, TopicPartition(topic, number), timeout=5), deadline
        )
        if first < end:
            ends[number] = end
    consumer.assign([TopicPartition(topic, number, 0) for number in ends])
    records: list[Record] = []
    # The position marks the end, because markers and compacted records have offsets too.
    while any(
        found.offset < ends[found.partition]
        for found in consumer.position([TopicPartition(topic, number) for number in ends])
    ):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic} could not be read to its end in time; {len(records)} records were")
        records += [_record(message) for message in consumer.consume(10_000, timeout=0.2)]
    kept = [record for record in records if record.offset < ends[record.partition]]
    return sorted(kept, key=lambda record: (record.partition, record.offset))


def _partitions(consumer: Consumer, topic: str, deadline: float) -> list[int]:
    def ask() -> list[int]:
        found = consumer.list_topics(topic, timeout=5).topics[topic]
        if found.error is not None or not found.partitions:
            raise KafkaException(found.error)
        return sorted(found.partitions)

    return _patiently(ask, deadline)


def _patiently(ask: Callable[[], T], deadline: float) -> T:
    """Return the result of `ask`, asking again until the deadline while Kafka is away."""
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _record(message: Any) -> Record:
    if message.error() is not None:
        raise KafkaException(message.error())
    headers = tuple(message.headers() or ())
    return Record(
        message.partition(), message.offset(), message.key(), message.value(), message.timestamp()[1], headers
    )


def create_topics(
    bootstrap_servers: str, topics: Mapping[str, int], *, replicas: int = -1, **configuration: str
) -> None:
    """Create topics, by name and number of partitions, and wait until all brokers know them.

    `configuration` is the topics', with `_` for `.`, as in `cleanup_policy="compact"`.
    `replicas` -1 is the brokers' default.
    """
    admin = AdminClient(QUIET | {"bootstrap.servers": bootstrap_servers})
    settings = {name.replace("_", "."): value for name, value in configuration.items()}
    wanted = [NewTopic(name, partitions, replicas, config=settings) for name, partitions in topics.items()]
    for future in admin.create_topics(wanted, operation_timeout=20).values():
        future.result(timeout=30)
    deadline = time.monotonic() + 60
    while (
        not topics.items()
        <= {name: len(found.partitions) for name, found in admin.list_topics(timeout=10).topics.items()}.items()
    ):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{', '.join(topics)} did not appear in the metadata in time")
        time.sleep(0.05)


def make_again(bootstrap_servers: str, topic: str) -> None:
    """Delete a compacted topic of one partition, and create it again."""
    delete_topic(bootstrap_servers, topic)
    create_topics(bootstrap_servers, {topic: 1}, cleanup_policy="compact")


def delete_topic(bootstrap_servers: str, topic: str) -> None:
    """Delete a topic, and wait until it is gone."""
    admin = AdminClient(QUIET | {"bootstrap.servers": bootstrap_servers})
    for future in admin.delete_topics([topic], operation_timeout=20).values():
        future.result(20)
    deadline = time.monotonic() + 60
    while topic in admin.list_topics(timeout=10).topics:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic} was not deleted in time")
        time.sleep(0.05)
