"""The first idea: websockets, fastavro, `AIOKafkaProducer.send`, without journal or identities."""

import asyncio
import json
import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

from aiokafka import AIOKafkaProducer
from fastavro import parse_schema, schemaless_writer
from websockets.asyncio.client import connect

from benchmarks.feed import BONDS
from benchmarks.pipeline import Run, arguments
from connector.packaged_files import bond_tick

SCHEMA = json.loads(bond_tick())
PARSED = parse_schema(SCHEMA)
COLUMNS = [field for field in SCHEMA["fields"] if field["name"].isupper()]


def _reader(avro_type: Any) -> Callable[[str], Any]:
    match avro_type:
        case list():
            read = _reader(avro_type[1])
            return lambda text: read(text) if text else None
        case "string":
            return str
        case "long":
            return int
        case _:
            return Decimal


READERS = [(column["name"], _reader(column["type"])) for column in COLUMNS]


def encode(columns: list[str], received: datetime) -> bytes:
    """Return one tick as Avro."""
    tick = {name: read(text) for (name, read), text in zip(READERS, columns, strict=True)}
    hour = tick["STCK_CNTG_HOUR"]
    traded = received.replace(hour=int(hour[:2]), minute=int(hour[2:4]), second=int(hour[4:]), microsecond=0)
    tick |= {
        "tick_id": "",
        "trade_date": traded.date(),
        "traded_at": traded,
        "received_at": received,
        "source": "ws",
        "extra": [],
    }
    buffer = BytesIO()
    schemaless_writer(buffer, PARSED, tick)
    return buffer.getvalue()


async def measure(run: Run) -> dict[str, Any]:
    """Deliver all ticks and return the figures."""
    producer = AIOKafkaProducer(
        bootstrap_servers=run.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        linger_ms=5,
        max_batch_size=128 * 1024,
    )
    await producer.start()
    acknowledged, latencies, done = 0, list[float](), asyncio.Event()

    def note(received_at: float) -> Callable[[Any], None]:
        def noted(_: Any) -> None:
            nonlocal acknowledged
            acknowledged += 1
            latencies.append(time.time() - received_at)
            if acknowledged == run.ticks:
                done.set()

        return noted

    started = cpu = 0.0
    async with connect(run.websocket_url, ping_interval=None, compression=None, max_size=2**20) as socket:
        for isin in BONDS:
            header = {"approval_key": "x", "custtype": "P", "tr_type": "1", "content-type": "utf-8"}
            await socket.send(json.dumps({"header": header, "body": {"input": {"tr_id": "H0BJCNT0", "tr_key": isin}}}))
        sent = 0
        while sent < run.ticks:
            text = await socket.recv()
            if text[0] not in "01":
                continue
            received_at = time.time()
            if not started:
                started, cpu = received_at, time.process_time()
            received = datetime.fromtimestamp(received_at, UTC)
            _, _, count, payload = text.split("|", 3)
            columns = payload.split("^")
            for index in range(int(count)):
                record = columns[index * 19 : index * 19 + 19]
                headers = [
                    ("received-ns", b"%d" % (received_at * 1e9)),
                    ("slot", b"0"),
                    ("schema", b"0123456789abcdef"),
                ]
                future = await producer.send(
                    run.topics["ticks"], encode(record, received), key=record[0].encode(), headers=headers
                )
                future.add_done_callback(note(received_at))
                sent += 1
        await done.wait()
        seconds, cpu = time.time() - started, time.process_time() - cpu
    await producer.stop()
    return {"seconds": seconds, "cpu_seconds": cpu, "latencies": latencies}


def main() -> None:
    """Run once on core 0."""
    os.sched_setaffinity(0, {0})
    run = arguments()
    figures = asyncio.run(measure(run))
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(run.summary(figures)))


if __name__ == "__main__":
    main()
