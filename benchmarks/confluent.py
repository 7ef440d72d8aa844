"""Confluent's client as its examples use it: websockets, `AvroSerializer`, `Producer.produce`.

It has no journal and no identities. The serializer asks the client's own registry in memory
(`mock://`) for its schema id, and does so once, as it would ask a real registry. `poll(0)` follows
each `produce`, and each tick has a delivery callback.
"""

import time
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from benchmarks.pipeline import Meter, Run, measure
from benchmarks.plain_tick import headers, plain_tick, received_at, split
from benchmarks.registered_socket import registered_socket
from connector.packaged_files import bond_tick

QUEUE_FULL_SECONDS = 0.01


def serializer() -> AvroSerializer:
    """Return a serializer of the tick schema."""
    registry = SchemaRegistryClient.new_client({"url": "mock://benchmark"})
    made: AvroSerializer = AvroSerializer(registry, bond_tick(), conf={"subject.name.strategy.type": "TOPIC"})
    return made


async def pipeline(run: Run, meter: Meter) -> None:
    """Deliver all ticks."""
    producer = Producer(
        {
            "bootstrap.servers": run.bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "zstd",
            "linger.ms": 5,
        }
    )
    topic = run.topics["ticks"]
    serialize, context = serializer(), SerializationContext(topic, MessageField.VALUE)
    async with registered_socket(run.websocket_url, run.bonds) as socket:
        await meter.wait_for_start()
        sent = 0
        while sent < run.ticks:
            text = await socket.recv(decode=True)
            received_ns = time.time_ns()
            received = received_at(received_ns)

            def acknowledged(error: Any, _: Any, received_ns: int = received_ns) -> None:
                if error is not None:
                    raise RuntimeError(f"Kafka refused a tick: {error}")
                meter.acknowledge_one(received_ns)

            for columns in split(text):
                produce(
                    producer,
                    topic,
                    serialize(plain_tick(columns, received), context),
                    columns[0].encode(),
                    headers=headers(received_ns),
                    on_delivery=acknowledged,
                )
                producer.poll(0)
                sent += 1
        producer.flush()
        await meter.done.wait()


def produce(producer: Producer, *record: Any, **options: Any) -> None:
    """Hand a record to the client; wait while its queue is full."""
    while True:
        try:
            producer.produce(*record, **options)
        except BufferError:
            producer.poll(QUEUE_FULL_SECONDS)
        else:
            return


if __name__ == "__main__":
    measure(pipeline)
