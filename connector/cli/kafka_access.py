"""Reads and writes topics for one command; gives up within 15 seconds with exit code 5."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    UnknownError,
)

from connector.core.phrase import named
from connector.core.printable import printable
from connector.errors import NotInTime
from connector.shell.kafka import arguments, clients
from connector.shell.kafka.closing import abandon
from connector.shell.kafka.compacted_topic import CompactedTopic, TopicRecord
from connector.shell.kafka.diagnosis import with_remedy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from connector.settings import Settings

PATIENCE_SECONDS = 12.0
START_SECONDS = 8.0  # less, so that a producer that cannot start says why
REQUEST_MS = 5_000
# A problem that lasts this long is reported without waiting out the patience: a user is waiting at
# a prompt, and a broker's brief absence is shorter.
PROBLEM_SECONDS = 2.0
_POLL_SECONDS = 0.05


def client_arguments(settings: Settings) -> dict[str, Any]:
    """Return the arguments of aiokafka's clients.

    Raises ConfigurationError for files that cannot be read.
    """
    return arguments.client_arguments(settings.kafka, settings.kafka_client_id) | {"request_timeout_ms": REQUEST_MS}


class LatestRecords:
    """The latest record of each key of a compacted topic, up to date while `following` lasts."""

    def __init__(self) -> None:
        self.records: dict[str, TopicRecord] = {}
        self.changed = asyncio.Event()
        self.reader: CompactedTopic | None = None

    @property
    def problem(self) -> str | None:
        """Why the records may be out of date."""
        return self.reader.problem if self.reader else None

    def replace(self, records: Sequence[TopicRecord]) -> None:
        """Replace everything by a complete reading of the topic."""
        self.records.clear()
        self.update(records)

    def update(self, records: Sequence[TopicRecord]) -> None:
        """Add the records that followed; a key that is not UTF-8 cannot be one of ours."""
        for record in records:
            key = (record.key or b"").decode(errors="replace")
            if record.value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self.changed.set()


@asynccontextmanager
async def following(settings: Settings, topic: str) -> AsyncIterator[LatestRecords]:
    """Give the latest records of a compacted topic once it is read to its end, and follow it.

    Raises NotInTime with the reason if it cannot be read.
    """
    client_arguments(settings)
    latest = LatestRecords()
    latest.reader = reader = CompactedTopic(topic, lambda: client_arguments(settings), latest.replace, latest.update)
    task = asyncio.create_task(reader.run())
    try:
        await _wait_until_read(reader, settings)
        yield latest
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _wait_until_read(reader: CompactedTopic, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    problem_since: float | None = None
    while not reader.restored.is_set():
        now = loop.time()
        problem_since = None if reader.problem is None else problem_since or now
        if now - started > PATIENCE_SECONDS or (problem_since and now - problem_since > PROBLEM_SECONDS):
            problem = reader.problem or f"no answer in {PATIENCE_SECONDS:g} s"
            raise NotInTime(printable(f"Kafka at {settings.kafka.bootstrap_servers}: {problem}"))
        await asyncio.sleep(_POLL_SECONDS)


async def read(settings: Settings, topic: str) -> dict[str, TopicRecord]:
    """Return the latest record of each key that has a value."""
    async with following(settings, topic) as latest:
        return dict(latest.records)


async def write(settings: Settings, topic: str, records: Sequence[tuple[str, bytes | None]]) -> int:
    """Write records to the one partition of `topic`; return the first one's offset, -1 if unknown.

    Records that fit into one batch are written all or none. Raises NotInTime, which says what was
    written and what may have been.
    """
    producer = clients.make_producer(settings.kafka, settings.kafka_client_id)
    first = None
    acknowledged = sent = 0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await clients.start(producer, START_SECONDS)
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
        message = f"{topic} at {settings.kafka.bootstrap_servers} could not be written: {reason(error, 'Write')}"
        keys = [key for key, _ in records]
        known = acknowledged if _is_refusal(error) else sent
        raise NotInTime(
            "\n".join([message, *_outcome(keys[:acknowledged], keys[acknowledged:known], keys[known:])])
        ) from error
    finally:
        await abandon(producer)
    return -1 if first is None else first


def _is_refusal(error: Exception) -> bool:
    """Whether a broker said that it did not write. After any other failure, it may have."""
    return isinstance(error, BrokerResponseError) and not error.retriable and not isinstance(error, UnknownError)


def _outcome(written: Sequence[str], unknown: Sequence[str], unwritten: Sequence[str]) -> list[str]:
    """Return a line for each group of keys that is not empty; none if nothing was written."""
    if not written and not unknown:
        return []
    lines = (("Written before that", written), ("May or may not be written", unknown), ("Not written", unwritten))
    return [f"{what}: {named(list(dict.fromkeys(keys)))}." for what, keys in lines if keys]


def reason(error: Exception, right: str) -> str:
    """Return the cause in words, with the remedy if it is known.

    `right` is the Kafka permission the request needs.
    """
    if isinstance(error, TimeoutError):
        return f"no answer in {PATIENCE_SECONDS:g} s"
    return printable(with_remedy(error, right))
