"""Reads all partitions of one topic without a consumer group."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connector.core.ticks.record_time import time_ms
from connector.errors import NotInTime
from connector.shell.kafka.clients import has_topic
from connector.shell.kafka.closing import stop
from connector.shell.kafka.diagnosis import with_remedy

POLL_MS = 500
PATIENCE_SECONDS = 12.0
WIDER = 8  # times as far back is looked for the last records, if too few were there


@asynccontextmanager
async def opened(
    topic: str, arguments: Mapping[str, Any], group_id: str | None = None
) -> AsyncIterator[tuple[Any, list[TopicPartition]]]:
    """Give a consumer that has every partition of the topic, and the partitions.

    It reads committed records, from the oldest on. `arguments` are those of any aiokafka client. A
    `group_id` is only there to ask for the group's offsets: nobody joins the group.
    Raises NotInTime if the topic does not exist, or if the block could not read it.
    """
    consumer: Any = AIOKafkaConsumer(
        **arguments, group_id=group_id, enable_auto_commit=False, isolation_level="read_committed"
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            partitions = await _all_partitions(consumer, topic)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
        yield consumer, partitions
    except NotInTime:
        raise
    except TimeoutError:
        raise NotInTime(f"{_place(topic, arguments)}: Kafka sent nothing for {PATIENCE_SECONDS:g} s") from None
    except (KafkaError, OSError) as error:
        raise NotInTime(f"{_place(topic, arguments)}: {with_remedy(error, 'Read')}") from error
    finally:
        await stop(consumer)


async def records(
    topic: str, arguments: Mapping[str, Any], since_ms: int | None = None
) -> AsyncIterator[Sequence[Any]]:
    """Yield the topic's records, several at a time, in the order of each partition, to its end.

    They are those that are not older than `since_ms`, if it is given. The end is that of the start.
    Raises NotInTime as `opened` does, and if Kafka sends nothing for 12 seconds.
    """
    async with opened(topic, arguments) as (consumer, partitions):
        if since_ms is not None:
            await seek_to_time(consumer, partitions, since_ms)
        async for batch in _to_end(consumer, await end_offsets(consumer, partitions)):
            yield batch


async def end_offsets(consumer: Any, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the offset after the last committed record of each partition."""
    found: dict[TopicPartition, int] = await _within_patience(consumer.end_offsets(partitions))
    return found


async def has_read(consumer: Any, offsets: Mapping[TopicPartition, int]) -> bool:
    """Whether the consumer has read everything before these offsets."""
    return all([await consumer.position(place) >= offset for place, offset in offsets.items()])


async def last(
    consumer: Any, partitions: Sequence[TopicPartition], count: int, is_wanted: Callable[[Any], bool]
) -> list[Any]:
    """Return the last wanted records by `time_ms`; the consumer then stands at the topic's end."""
    found = await _last_before(consumer, await end_offsets(consumer, partitions), count, is_wanted)
    return sorted((one for each in found.values() for one in each), key=time_ms)[-count:]


async def _last_before(
    consumer: Any, ends: Mapping[TopicPartition, int], count: int, is_wanted: Callable[[Any], bool]
) -> Mapping[TopicPartition, Sequence[Any]]:
    """Return the last wanted records of each partition before these offsets, and place it there.

    Looks further and further back in each partition until it has enough.
    """
    begins = await _within_patience(consumer.beginning_offsets(list(ends)))
    found = {place: deque[Any](maxlen=count) for place in ends}
    reach, open_places = count, list(ends)
    while open_places:
        consumer.assign(open_places)
        starts = {place: max(begins[place], ends[place] - reach) for place in open_places}
        for place, offset in starts.items():
            found[place].clear()
            consumer.seek(place, offset)
        async for batch in _to_end(consumer, {place: ends[place] for place in open_places}):
            for one in batch:
                if is_wanted(one):
                    found[TopicPartition(one.topic, one.partition)].append(one)
        open_places = [place for place in open_places if len(found[place]) < count and starts[place] > begins[place]]
        reach *= WIDER
    consumer.assign(list(ends))
    for place, offset in ends.items():
        consumer.seek(place, offset)
    return found


async def seek_to_time(consumer: Any, partitions: Sequence[TopicPartition], since_ms: int) -> None:
    """Place the consumer before the first record of each partition that is not older than that.

    Kafka finds no record without a timestamp, so those just before that one are read, too. A broker
    that looks up no times, as the demo's, is read from its beginning, with older records.
    """
    ends = await end_offsets(consumer, partitions)
    offsets = await _within_patience(consumer.offsets_for_times(dict.fromkeys(partitions, max(0, since_ms))))
    firsts = {place: found.offset for place, found in offsets.items() if found is not None}
    older = await _last_before(consumer, {**ends, **firsts}, 1, lambda one: one.timestamp >= 0)
    if not firsts and any(one.timestamp >= since_ms for each in older.values() for one in each):
        await consumer.seek_to_beginning(*partitions)
        return
    for place, each in older.items():
        if each:
            consumer.seek(place, each[0].offset + 1)
        else:
            await consumer.seek_to_beginning(place)


async def _all_partitions(consumer: Any, topic: str) -> list[TopicPartition]:
    await consumer.start()
    if not await has_topic(consumer, topic):
        raise NotInTime(f"Topic {topic} does not exist or may not be read: run kis-bond topics init.")
    await consumer._client.add_topic(topic)  # noqa: SLF001 - no public way to the client; the version is pinned
    return [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic) or ()]


async def _to_end(consumer: Any, ends: Mapping[TopicPartition, int]) -> AsyncIterator[list[Any]]:
    places = dict[TopicPartition, int]()
    # Markers of transactions and deleted records end a topic without a record there.
    while not places or any(places[place] < end for place, end in ends.items()):
        async with asyncio.timeout(PATIENCE_SECONDS):
            before = places
            while places == before:
                batches = await consumer.getmany(timeout_ms=POLL_MS)
                places = {place: await consumer.position(place) for place in ends}
        yield [one for place, batch in batches.items() for one in batch if one.offset < ends[place]]


async def _within_patience(answer: Any) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await answer


def _place(topic: str, arguments: Mapping[str, Any]) -> str:
    servers = arguments["bootstrap_servers"]
    return f"{topic} at {servers if isinstance(servers, str) else ','.join(servers)} could not be read"
