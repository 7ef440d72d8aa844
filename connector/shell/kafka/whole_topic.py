"""Reads a topic from its oldest record to its end as seen at the start, once."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connector.errors import NotInTime
from connector.shell.kafka.clients import has_topic
from connector.shell.kafka.closing import stop
from connector.shell.kafka.diagnosis import describe

POLL_MS = 500
PATIENCE_SECONDS = 12.0


async def records(topic: str, arguments: Mapping[str, Any]) -> AsyncIterator[Sequence[Any]]:
    """Yield the committed records, several at a time, in the order of each partition.

    `arguments` are those of any aiokafka client. Raises NotInTime if the topic does not exist, or
    if Kafka sends nothing for 12 seconds.
    """
    consumer: Any = AIOKafkaConsumer(
        **arguments, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await consumer.start()
            if not await has_topic(consumer, topic):
                raise NotInTime(f"Topic {topic} does not exist or may not be read: run kis-bond topics init.")
            await consumer._client.add_topic(topic)  # noqa: SLF001 - no public way to the client; the version is pinned
            partitions = [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic) or ()]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
        places = dict[TopicPartition, int]()
        # Markers of transactions and deleted records end a topic without a record there.
        while not places or any(places[place] < ends[place] for place in partitions):
            async with asyncio.timeout(PATIENCE_SECONDS):
                before = places
                while places == before:
                    batches = await consumer.getmany(timeout_ms=POLL_MS)
                    places = {place: await consumer.position(place) for place in partitions}
            yield [one for place, batch in batches.items() for one in batch if one.offset < ends[place]]
    except TimeoutError:
        raise NotInTime(f"{topic} could not be read: Kafka sent nothing for {PATIENCE_SECONDS:g} s") from None
    except (KafkaError, OSError) as error:
        raise NotInTime(f"{topic} could not be read: {describe(error)}") from error
    finally:
        await stop(consumer)
