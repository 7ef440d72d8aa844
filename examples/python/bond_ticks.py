"""Reads the ticks of the topic, each one once."""

import argparse
import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fastavro.schema import fingerprint, to_parsing_canonical_form

Tick = dict[str, Any]


def arguments(description: str) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--brokers", default="localhost:9092")
    parser.add_argument("--ticks", default="bond.ticks", help="the topic of ticks")
    parser.add_argument("--status", default="bond.subscriptions.status", help="the topic of status records")
    parser.add_argument("--registry", help="the registry's URL; without it, single-object encoding is read")
    parser.add_argument(
        "--schema",
        nargs="+",
        type=Path,
        default=[Path("bond_tick.avsc")],
        help="your schema first; without a registry, also every other one that wrote ticks",
    )
    return parser.parse_args()


def with_registry(url: str, ours: str) -> Callable[[Message], Tick]:
    """Return what decodes a registry's framing: a record has the id of the schema that wrote it."""
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": url}), ours)
    return lambda message: deserialize(
        message.value(), SerializationContext(message.topic(), MessageField.VALUE, message.headers())
    )


def without_registry(schemas: list[str]) -> Callable[[Message], Tick]:
    """Return what decodes single-object encoding: a record has the fingerprint of its schema."""
    parsed = [json.loads(schema) for schema in schemas]
    ours = fastavro.parse_schema(parsed[0])
    writers = {
        bytes.fromhex(fingerprint(to_parsing_canonical_form(one), "CRC-64-AVRO")): fastavro.parse_schema(one)
        for one in parsed
    }

    def decode(message: Message) -> Tick:
        value = message.value()
        if value[:2] != b"\xc3\x01":
            raise ValueError(f"{message.topic()} has a registry's framing: give --registry")
        writer = writers.get(value[2:10])
        if writer is None:
            raise ValueError(f"No given schema has the fingerprint {value[2:10].hex()}: add it to --schema")
        return fastavro.schemaless_reader(BytesIO(value[10:]), writer, ours)

    return decode


def ticks(options: argparse.Namespace) -> Iterator[Tick]:
    """Yield each tick up to the topic's present end once, in the order of the first copies."""
    schemas = [file.read_text() for file in options.schema]
    decode = with_registry(options.registry, schemas[0]) if options.registry else without_registry(schemas)
    seen: set[str] = set()  # a job that runs for days keeps the ids of one trade date
    for message in messages(options.brokers, options.ticks):
        tick = decode(message)
        if tick["tick_id"] not in seen:
            seen.add(tick["tick_id"])
            yield tick


def messages(brokers: str, topic: str) -> Iterator[Message]:
    """Yield the records of a topic from its start to its present end."""
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": "bond-example",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })  # fmt: skip
    metadata = consumer.list_topics(topic, timeout=30).topics[topic]
    if metadata.error:
        raise ValueError(f"Topic {topic}: {metadata.error.str()}")
    consumer.assign([TopicPartition(topic, partition, 0) for partition in metadata.partitions])
    unread = set(metadata.partitions)
    while unread:
        message = consumer.poll(30)
        if message is None:
            raise TimeoutError(f"Kafka sent nothing of {topic} for 30 s")
        if message.error() is None:
            yield message
        elif message.error().code() == -191:  # _PARTITION_EOF
            unread.discard(message.partition())
        elif message.error().fatal():
            raise OSError(message.error().str())
    consumer.close()
