"""What the tests of delivery share."""

import asyncio

import pytest

from connector.settings import JournalSettings
from connector.shell.delivery import Delivery, assignment, lane, reading
from connector.shell.journal import Journal
from tests.kafka.reader import create_topics
from tests.shell.delivery.fake_kafka import Brokers
from tests.shell.delivery.frames import MemoryJournal
from tests.shell.delivery.rig import Rig
from tests.shell.delivery.work import SCHEMA, plain


@pytest.fixture
def impatient(monkeypatch):
    """Give up a batch soon: for tests in which brokers do not answer, and in no others.

    On a busy machine a sound broker may seem not to answer either.
    """
    monkeypatch.setattr(lane, "ACK_SECONDS", 1.5)


@pytest.fixture
async def work(monkeypatch):
    """Return brokers, a journal and a running delivery, with short pauses."""
    monkeypatch.setattr(assignment, "LEADER_SECONDS", 0.05)
    monkeypatch.setattr(reading, "FRAMES_A_TURN", 16)  # asyncio's debug mode is slow, and a turn acknowledges nothing
    monkeypatch.setattr(reading, "FRAMES_AGAIN", 32)
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(lane, "RETRY_SECONDS", (0.02,))
    brokers, journal = Brokers(), MemoryJournal()
    running = Delivery(journal, SCHEMA, brokers.kafka(), plain)
    task = asyncio.create_task(running.run())
    yield brokers, journal, running
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture
async def start(kafka, topic_names, tmp_path):
    """Return a function that starts a rig on the shared Kafka."""
    rigs = []

    async def started(*, topics=True, framing=SCHEMA.single_object_prefix, latest=None):
        for rig in rigs:
            await rig.end()
        if topics and not rigs:
            create_topics(kafka.bootstrap_servers, {topic_names.ticks: 6, topic_names.dead_letters: 1})
        journal = await Journal.open(JournalSettings(path=tmp_path / "data/journal"), print)
        rigs[:] = [Rig(journal, kafka, topic_names, framing, latest)]
        return rigs[0]

    yield started
    for rig in rigs:
        await rig.end()
