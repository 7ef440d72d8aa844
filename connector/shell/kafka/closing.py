"""Ends aiokafka's clients within a deadline, even if they or the brokers hang."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

CLOSE_SECONDS: Final = 3.0
ABANDON_SECONDS: Final = 2.0
SENDER_SECONDS: Final = 0.5

log = structlog.get_logger("connector.kafka_client")


async def close(closing: Callable[[], Coroutine[Any, Any, None]], seconds: float = CLOSE_SECONDS) -> None:
    """Run a client's own `stop` or `close` within a deadline; a failure is only logged.

    The method runs in a task of its own, because aiokafka's `stop` can raise the CancelledError of
    a task that aiokafka itself cancelled.
    """
    task = asyncio.create_task(closing())
    await asyncio.wait({task}, timeout=seconds)
    if not task.done():
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        log.debug("client_not_closed_cleanly", error=repr(error))


async def stop(consumer: AIOKafkaConsumer, seconds: float = CLOSE_SECONDS) -> None:
    """Stop a consumer within a deadline, and then close its connections in any case.

    aiokafka's own `stop` closes them last, so it leaves them open if it fails or takes too long.
    """
    await close(consumer.stop, seconds)
    if consumer._fetcher is not None:  # noqa: SLF001 - no public way; the version is pinned
        await close(consumer._fetcher.close, seconds)  # noqa: SLF001 - as above
    await close(consumer._client.close, seconds)  # noqa: SLF001 - as above


async def abandon(producer: AIOKafkaProducer) -> None:
    """End a producer at once, so that it sends none of its waiting records after this returns.

    `stop()` would wait for brokers that may be out of reach. If we cancelled that wait, the sender
    would go on and send later (aio-libs/aiokafka#1018). So we cancel the sender before we close its
    connections.
    """
    producer._closed = True  # noqa: SLF001 - no public way; the version is pinned
    sender = producer._sender.sender_task if producer._sender else None  # noqa: SLF001 - as above
    if sender:
        sender.cancel()
    await close(producer.client.close, ABANDON_SECONDS)
    if sender:
        # The cancelled sender waits for its requests. They ended with their connections, within a
        # few turns of the event loop. One that pauses before a retry goes on pausing, so after the
        # deadline the second cancellation ends the wait.
        await asyncio.wait([sender], timeout=SENDER_SECONDS)
        sender.cancel()
        await asyncio.wait([sender], timeout=SENDER_SECONDS)
