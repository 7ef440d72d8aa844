"""The first idea: websockets, fastavro, `AIOKafkaProducer.send`, without journal or identities.

Each send has a callback, as in every program that wants to know of a failure.
"""

import time
from datetime import datetime
from io import BytesIO
from typing import Any

from aiokafka import AIOKafkaProducer
from fastavro import parse_schema, schemaless_writer

from benchmarks.pipeline import Meter, Run, measure
from benchmarks.plain_tick import SCHEMA, headers, plain_tick, received_at, split
from benchmarks.registered_socket import registered_socket

PARSED = parse_schema(SCHEMA)


def encode(columns: list[str], received: datetime) -> bytes:
    """Return one tick as Avro."""
    buffer = BytesIO()
    schemaless_writer(buffer, PARSED, plain_tick(columns, received))
    return buffer.getvalue()


async def pipeline(run: Run, meter: Meter) -> None:
    """Deliver all ticks."""
    producer = AIOKafkaProducer(
        bootstrap_servers=run.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        linger_ms=5,
        max_batch_size=128 * 1024,
    )
    await producer.start()
    async with registered_socket(run.websocket_url, run.bonds) as socket:
        await meter.wait_for_start()
        sent = 0
        while sent < run.ticks:
            text = await socket.recv(decode=True)
            received_ns = time.time_ns()
            received = received_at(received_ns)

            def acknowledged(delivered: Any, received_ns: int = received_ns) -> None:
                delivered.result()  # raises if Kafka refused the tick
                meter.acknowledge_one(received_ns)

            for columns in split(text):
                future = await producer.send(
                    run.topics["ticks"],
                    encode(columns, received),
                    key=columns[0].encode(),
                    headers=headers(received_ns),
                )
                future.add_done_callback(acknowledged)
                sent += 1
        await meter.done.wait()
    await producer.stop()


if __name__ == "__main__":
    measure(pipeline)
