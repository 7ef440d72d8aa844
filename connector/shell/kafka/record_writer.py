"""Writes records to one topic in batches, and reports which of them Kafka acknowledged.

After any failure the producer is abandoned, and the next batch gets a new one. aiokafka's
idempotent producer cannot be trusted after a failed batch (aio-libs/aiokafka#1017). The producer's
own stop() can hang, or leave a sender that sends later (#1018, #1101).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence  # noqa: TC003 - the tuple's fields are read at run time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from connector.core.ticks.partition import partition
from connector.shell.kafka.clients import start
from connector.shell.kafka.closing import abandon
from connector.shell.kafka.metadata import fetch_metadata
from connector.shell.kafka.waiting import raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaProducer

ACKNOWLEDGE_SECONDS: Final = 15


class Outgoing(NamedTuple):
    """One record to write; a tombstone has the `value` None.

    Without `partition` the key decides. `headers` come after the writer's own. Without
    `timestamp_ms` the record gets the present time.
    """

    key: bytes
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None


class RecordWriter:
    """Writes to one topic, and may be used by one task only.

    Concurrent writes could overtake each other. `new_producer` makes a producer that is not
    started. `headers` are added to each record.
    """

    def __init__(
        self, topic: str, new_producer: Callable[[], AIOKafkaProducer], headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        self._topic = topic
        self._headers = list(headers)
        self._new_producer = new_producer
        self._producer: Any = None
        self._partitions = 0

    async def write(self, records: Sequence[Outgoing]) -> list[Exception | None]:
        """Write records; per record, return None if Kafka acknowledged it, else the failure.

        A record that failed may have been written all the same.
        """
        try:
            await self._start_producer()
            outcomes = await self._send(records)
        except Exception as error:  # noqa: BLE001 - no error of Kafka's client may end the connector; callers log it
            outcomes = [error] * len(records)
        except BaseException:
            await self.close()
            raise
        if any(outcomes):
            await self.close()
            raise_if_cancelled()
        return outcomes

    async def close(self) -> None:
        """Abandon the producer, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await abandon(producer)

    async def _start_producer(self) -> None:
        if self._producer is not None:
            return
        producer = self._new_producer()
        await start(producer)
        self._producer = producer
        async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
            cluster = await fetch_metadata(producer.client, [self._topic])
        self._partitions = len(cluster.partitions_for_topic(self._topic) or ())
        if not self._partitions:
            raise UnknownTopicOrPartitionError(
                f"{self._topic} does not exist or may not be described: run kis-bond topics init"
            )

    async def _send(self, records: Sequence[Outgoing]) -> list[Exception | None]:
        outcomes: list[Exception | None] = [TimeoutError(f"not acknowledged in {ACKNOWLEDGE_SECONDS} s")] * len(records)
        sent: dict[asyncio.Future[Any], int] = {}
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                for place, record in enumerate(records):
                    number = partition(record.key, self._partitions) if record.partition is None else record.partition
                    try:
                        future = await self._producer.send(
                            self._topic,
                            key=record.key,
                            value=record.value,
                            partition=number,
                            headers=[*self._headers, *record.headers],
                            timestamp_ms=record.timestamp_ms,
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
    """Return a future's failure or None; this also marks the failure as seen for asyncio."""
    if future.cancelled():
        return KafkaError("the producer gave the record up")
    error = future.exception()
    return error if error is None or isinstance(error, Exception) else KafkaError(repr(error))
