"""Runs lanes over one producer until something fails, and then ends the producer for good."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connector.shell.delivery.batch import Batch
from connector.shell.delivery.lane import Lane

WATCH_SECONDS = 0.5  # how often overdue lanes are looked for: one timer instead of one a batch
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
        overdue = await _first_failure([*tasks, sender], lanes)
        in_flight = [task for task, lane in tasks.items() if lane.leave() and not task.done() and lane not in overdue]
        if in_flight and not sender.done():
            await asyncio.wait(in_flight, timeout=IN_FLIGHT_SECONDS)
        failed: dict[Lane, BaseException] = {lane: TimeoutError() for lane in overdue}
        for task, lane in tasks.items():
            if task.done() and (error := task.exception()) is not None:
                failed[lane] = error
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


async def _first_failure(tasks: Sequence[asyncio.Task[Any]], lanes: Sequence[Lane]) -> list[Lane]:
    """Wait until a task ends or a lane is overdue; return the lanes that are."""
    while True:
        ended, _ = await asyncio.wait(tasks, timeout=WATCH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        overdue = [lane for lane in lanes if lane.is_overdue]
        if ended or overdue:
            return overdue
