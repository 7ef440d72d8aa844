"""What talks to Kafka ends when it is cancelled, whatever Kafka's client raises at that moment."""

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

from connector.app.topic_check import TopicCheck
from connector.app.watched_coverage import WatchedCoverage
from connector.core.slots.assignment import Claim
from connector.settings import KafkaSettings
from connector.shell.coverage.fact_topics import FactTopics
from connector.shell.coverage.tick_group import TickGroup
from connector.shell.kafka import clients
from connector.shell.kafka.arguments import client_arguments
from connector.shell.kafka.compacted_topic import CompactedTopic
from connector.shell.kafka.record_writer import Outgoing, RecordWriter
from connector.shell.slot_group import SlotGroup

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")
ARGUMENTS = partial(client_arguments, KAFKA, "test")


def ignore(*_):
    """Do nothing."""


async def counts():
    """Return the partitions of the ticks' and the coverage topic."""
    return 1, 1


async def watch_coverage():
    """Read the coverage topic because somebody looks."""
    watched = WatchedCoverage("topic", ARGUMENTS)
    watched.look()
    await watched.run()


PARTS = [
    lambda: CompactedTopic("topic", ARGUMENTS, ignore, ignore).run(),
    lambda: SlotGroup("topic", "group", 10.0, ARGUMENTS, claim=Claim, on_assigned=ignore, on_heard=ignore).run(),
    lambda: FactTopics(["status"], ["events"], ARGUMENTS, ignore).run(),
    lambda: TickGroup(("ticks", "coverage"), "group", ARGUMENTS, counts, SimpleNamespace(end_all=ignore)).run(),
    lambda: RecordWriter("topic", lambda: clients.make_producer(KAFKA, "test")).write([Outgoing(b"k", b"v")]),
    lambda: TopicCheck({"ticks": "topic"}, ARGUMENTS).run(),
    watch_coverage,
]


@pytest.mark.parametrize("part", PARTS)
async def test_an_error_in_place_of_a_cancellation_does_not_swallow_it(part, monkeypatch):
    """A part that is cancelled does not try again, although the client raised an error instead."""
    waits, errors = asyncio.Event(), []

    async def bootstrap(_):
        waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if errors:
                raise
            errors.append(KafkaConnectionError("in place of a cancellation"))
            raise errors[0] from None

    monkeypatch.setattr(AIOKafkaClient, "bootstrap", bootstrap)
    task = asyncio.create_task(part())
    await asyncio.wait_for(waits.wait(), 30)
    task.cancel()
    await asyncio.wait({task}, timeout=20)
    was_done = task.done()
    task.cancel()
    await asyncio.wait({task})
    assert errors
    assert was_done
    assert task.cancelled()
