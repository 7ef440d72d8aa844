"""Runs lanes over one producer until something fails, and ends the producer so that nothing of it is sent later."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connector.shell.delivery.lane import Batch, Lane

SETTLE_SECONDS = 1.0  # what is in flight beside the failed batch is mostly acknowledged by then, and not sent twice


async def produce(
    lanes: Sequence[Lane],
    producer: AIOKafkaProducer,
    abandon: Callable[[AIOKafkaProducer], Awaitable[None]],
    on_acknowledged: Callable[[Batch], None],
) -> dict[Lane, BaseException]:
    """Send what is put into the lanes until one of them fails or the producer's sender ends; return who failed with what.

    The producer is started and the lanes are open already. However this ends, it is abandoned and they are closed: any failed batch
    makes aiokafka's idempotent producer unfit (aio-libs/aiokafka#1017), and a dead sender fails every later batch (#907).
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
            await asyncio.wait(in_flight, timeout=SETTLE_SECONDS)
        failed = {
            lane: error for task, lane in tasks.items() if task.done() and (error := task.exception()) is not None
        }
        return failed or dict.fromkeys(lanes, KafkaError("the producer's sender ended"))
    finally:
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:  # a stop that comes just now must not leave a producer behind that still sends
            for lane in lanes:
                lane.close()
            await abandon(producer)
