"""One-off questions of the command line to Kafka, each answered, or given up within a quarter of a minute with exit code 5."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnknownTopicOrPartitionError,
)

from connector.errors import NotInTime
from connector.shell.kafka import clients
from connector.shell.kafka.closing import abandon
from connector.shell.kafka.compacted_topic import CompactedTopic, TopicRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from connector.settings import Settings

PATIENCE_SECONDS = 12.0
REQUEST_MS = 5_000
# A problem that lasts so long is told at once: it is rarely a broker's brief absence when someone waits at a prompt.
PROBLEM_SECONDS = 2.0
_POLL_SECONDS = 0.05
_NAMED_KEYS = 5


def client_arguments(settings: Settings) -> dict[str, Any]:
    """Return what aiokafka needs. Raises ConfigurationError for files that cannot be read."""
    return clients.client_arguments(settings.kafka, settings.kafka_client_id) | {"request_timeout_ms": REQUEST_MS}


class Replica:
    """What a compacted topic says at present, by key, kept up to date while the `following` block lasts."""

    def __init__(self) -> None:
        self.records: dict[str, TopicRecord] = {}
        self.changed = asyncio.Event()

    def restart(self, records: Sequence[TopicRecord]) -> None:
        """Take a complete reading."""
        self.records.clear()
        self.take(records)

    def take(self, records: Sequence[TopicRecord]) -> None:
        """Take what followed; keys that are no UTF-8 are nobody's."""
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            if record.value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self.changed.set()


@asynccontextmanager
async def following(settings: Settings, topic: str) -> AsyncIterator[Replica]:
    """Give a compacted topic, read to its end. Raises NotInTime with the reason when it cannot be read."""
    client_arguments(settings)
    replica = Replica()
    reader = CompactedTopic(topic, lambda: client_arguments(settings), replica.restart, replica.take)
    task = asyncio.create_task(reader.run())
    try:
        await _restored(reader, settings)
        yield replica
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _restored(reader: CompactedTopic, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    problem_since: float | None = None
    while not reader.restored.is_set():
        now = loop.time()
        problem_since = None if reader.problem is None else problem_since or now
        if now - started > PATIENCE_SECONDS or (problem_since and now - problem_since > PROBLEM_SECONDS):
            raise NotInTime(
                f"Kafka at {settings.kafka.bootstrap_servers}: {reader.problem or f'no answer in {PATIENCE_SECONDS:g} s'}"
            )
        await asyncio.sleep(_POLL_SECONDS)


async def read(settings: Settings, topic: str) -> dict[str, TopicRecord]:
    """Return the latest record of each key that has a value."""
    async with following(settings, topic) as replica:
        return dict(replica.records)


async def write(settings: Settings, topic: str, records: Sequence[tuple[str, bytes | None]]) -> int:
    """Write records to the one partition of `topic` and return the offset of the first, -1 where Kafka did not say.

    As far as they fit into one batch they are written all or none. Raises NotInTime, which says what was written and what perhaps was.
    """
    producer = clients.make_producer(settings.kafka, settings.kafka_client_id)
    first = None
    acknowledged = sent = 0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await clients.start(producer)
            while acknowledged < len(records):
                batch = producer.create_batch()
                end = acknowledged
                while (
                    end < len(records)
                    and batch.append(key=records[end][0].encode(), value=records[end][1], timestamp=None) is not None
                ):
                    end += 1
                batch.close()
                answer = await producer.send_batch(batch, topic, partition=0)
                sent = end
                metadata = await answer
                acknowledged = end
                first = metadata.offset if first is None else first
    except (KafkaError, OSError, TimeoutError) as error:
        told = f"{topic} at {settings.kafka.bootstrap_servers} could not be written: {reason(error, 'Write')}"
        keys = [key for key, _ in records]
        known = acknowledged if _is_refusal(error) else sent
        raise NotInTime(
            "\n".join([told, *_outcome(keys[:acknowledged], keys[acknowledged:known], keys[known:])])
        ) from error
    finally:
        await abandon(producer)
    return -1 if first is None else first


def _is_refusal(error: Exception) -> bool:
    """Tell whether a broker said that it did not write; after any other failure, it may have."""
    return isinstance(error, BrokerResponseError) and not error.retriable and not isinstance(error, UnknownError)


def _outcome(written: Sequence[str], unknown: Sequence[str], unwritten: Sequence[str]) -> list[str]:
    """Return a line for each kind of keys; none where nothing was written, as the failure itself says that."""
    if not written and not unknown:
        return []
    lines = (("Written before that", written), ("May or may not be written", unknown), ("Not written", unwritten))
    return [f"{what}: {_named(keys)}." for what, keys in lines if keys]


def _named(keys: Sequence[str]) -> str:
    once = list(dict.fromkeys(keys))
    return ", ".join(once[:_NAMED_KEYS]) + (f" and {len(once) - _NAMED_KEYS} more" if len(once) > _NAMED_KEYS else "")


def reason(error: Exception, right: str) -> str:
    """Return what an exception of Kafka's says in a sentence, and what to do where that is known; `right` is what the request takes."""
    match error:
        case TimeoutError():
            return f"no answer in {PATIENCE_SECONDS:g} s"
        case UnknownTopicOrPartitionError():
            return "the topic does not exist: run kis-bond topics init"
        # An idempotent producer may not even begin where its user can write to no topic at all (KIP-679).
        case ClusterAuthorizationFailedError() | TopicAuthorizationFailedError():
            return f"Kafka does not permit it: grant this user {right} on the topic"
        case _:
            return str(error) or type(error).__name__
