"""Writes records to one topic, a batch at a time, each answered by Kafka's acknowledgement or by what went wrong.

After any failure the producer is abandoned and the next batch gets a new one: aiokafka's idempotent producer is not to be trusted after a
failed batch (aio-libs/aiokafka#1017), and its own stop() can hang or leave a sender behind (#1018, #1101).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from connector.core.ticks.partition import partition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

START_SECONDS: Final = 15
ACKNOWLEDGE_SECONDS: Final = 15


class Outgoing(NamedTuple):
    """One record to be written; `value` None is a tombstone."""

    key: bytes
    value: bytes | None


class RecordWriter:
    """Writer of one topic. One task uses it: concurrent writes could overtake each other.

    `new_producer` makes an AIOKafkaProducer not started yet; `abandon` ends one for good, whatever its state, within a deadline of its own.
    `headers` go with each record.
    """

    def __init__(
        self,
        topic: str,
        new_producer: Callable[[], Any],
        abandon: Callable[[Any], Awaitable[None]],
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        self._topic = topic
        self._headers = list(headers)
        self._new_producer = new_producer
        self._abandon = abandon
        self._producer: Any = None
        self._partitions = 0

    async def write(self, records: Sequence[Outgoing]) -> list[Exception | None]:
        """Return, for each record, None once Kafka acknowledged it or else the failure, after which it may have been written or not."""
        try:
            await self._ready()
            outcomes = await self._acknowledged(records)
        except (KafkaError, OSError, TimeoutError) as error:
            outcomes = [error] * len(records)
        except BaseException:
            await self.close()
            raise
        if any(outcomes):
            await self.close()
        return outcomes

    async def close(self) -> None:
        """Abandon the producer, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._abandon(producer)

    async def _ready(self) -> None:
        if self._producer is not None:
            return
        self._producer = self._new_producer()
        async with asyncio.timeout(START_SECONDS):
            await self._producer.start()
            # All topics are asked for, because asking for one by name would create it on a broker that creates topics by itself.
            cluster = await self._producer.client.fetch_all_metadata()
        self._partitions = len(cluster.partitions_for_topic(self._topic) or ())
        if not self._partitions:
            raise UnknownTopicOrPartitionError(
                f"{self._topic} does not exist or may not be described: run kis-bond topics init"
            )

    async def _acknowledged(self, records: Sequence[Outgoing]) -> list[Exception | None]:
        outcomes: list[Exception | None] = [TimeoutError(f"not acknowledged in {ACKNOWLEDGE_SECONDS} s")] * len(records)
        sent: dict[asyncio.Future[Any], int] = {}
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                for place, record in enumerate(records):
                    where = partition(record.key, self._partitions)
                    try:
                        future = await self._producer.send(
                            self._topic, key=record.key, value=record.value, partition=where, headers=self._headers
                        )
                    except KafkaError as error:
                        outcomes[place] = error
                    else:
                        sent[future] = place
                if sent:
                    await asyncio.wait(sent)
        except TimeoutError:
            pass
        for future, place in sent.items():
            if future.done():
                outcomes[place] = _outcome(future)
            else:
                future.add_done_callback(_outcome)
        return outcomes


def _outcome(future: asyncio.Future[Any]) -> Exception | None:
    """Return the future's failure, which also marks it as seen."""
    if future.cancelled():
        return KafkaError("the producer gave the record up")
    error = future.exception()
    return error if error is None or isinstance(error, Exception) else KafkaError(repr(error))
