"""Runs lanes over one producer until something fails, and then ends the producer for good."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connector.shell.delivery.batch import Batch
from connector.shell.delivery.lane import Lane

IN_FLIGHT_SECONDS = 1.0  # other batches in flight get this time, or they would be sent twice


async def produce(
    lanes: Sequence[Lane],
    producer: AIOKafkaProducer,
    abandon: Callable[[AIOKafkaProducer], Awaitable[None]],
    on_acknowledged: Callable[[Batch], None],
) -> dict[Lane, BaseException]:
    """Send the lanes' batches until one fails or the sender ends; return each failed lane's error.

    The caller has started the producer and opened the lanes. At the end this function always
    abandons the producer and closes the lanes. After a failed batch, aiokafka's idempotent producer
    is unfit (aio-libs/aiokafka#1017). After its sender has ended, every later batch fails (#907).
    """
    tasks: dict[asyncio.Task[Any], Lane] = {}
    try:
        for lane in lanes:
            tasks[
                asyncio.create_task(lane.run(producer, on_acknowledged), name=f"lane-{lane.topic}-{lane.partition}")
            ] = lane
        sender = producer._sender.sender_task  # noqa: SLF001 - no public way; the version is pinned
        await asyncio.wait([*tasks, sender], return_when=asyncio.FIRST_COMPLETED)
        in_flight = [task for task, lane in tasks.items() if lane.leave() and not task.done()]
        if in_flight and not sender.done():
            await asyncio.wait(in_flight, timeout=IN_FLIGHT_SECONDS)
        failed = {
            lane: error for task, lane in tasks.items() if task.done() and (error := task.exception()) is not None
        }
        return failed or dict.fromkeys(lanes, KafkaError("the producer's sender ended"))
    finally:
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:  # even if we are cancelled here, the producer must not go on sending
            for lane in lanes:
                lane.close()
            await abandon(producer)
