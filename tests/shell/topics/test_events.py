import asyncio
import contextlib
import json
from pathlib import Path

import jsonschema
import pytest

from connector.shell.topics import events
from connector.shell.topics.events import WAITING_AT_MOST, EventTopic

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "event_record.schema.json").read_text())
AT = "2026-01-02T00:00:00Z"


def event(number=0, **fields):
    """Make an event whose detail tells it from others."""
    return {"event": "session_up", "at": AT, "slot": 0, "instrument": None, "detail": {"number": number}} | fields


class Topic:
    """A topic that keeps what is written; `failures` holds, for coming batches, how many of their first records succeed."""

    def __init__(self):
        self.log = []
        self.failures = []
        self.is_away = False
        self.is_writing = False

    async def write(self, records):
        self.is_writing = True
        await asyncio.sleep(0)
        if self.is_away:
            raise RuntimeError("away")
        good = self.failures.pop(0) if self.failures else len(records)
        self.log += [(record.key, json.loads(record.value)) for record in records[:good]]
        return [None] * good + [TimeoutError()] * (len(records) - good)

    async def close(self):
        """Let go of nothing."""


class Memory(dict):
    """Texts that outlive an event topic."""

    async def save(self, name, value):
        await asyncio.sleep(0)
        self[name] = value

    async def saved(self, name):
        return self.get(name)


@contextlib.asynccontextmanager
async def running(topic, memory=None):
    """Run an event topic's writer for as long as the block lasts."""
    events = EventTopic(topic, Memory() if memory is None else memory)
    tasks = {asyncio.create_task(events.keep()), asyncio.create_task(events.run())}
    try:
        yield events
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def numbers(topic):
    """Return the numbers of the events in the topic."""
    return [value["detail"]["number"] for _, value in topic.log]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(events, "RETRY_MIN_SECONDS", 0.001)
    monkeypatch.setattr(events, "RETRY_MAX_SECONDS", 0.002)


async def test_events_are_keyed_by_what_they_concern():
    """An event's key is its bond, or else its slot, and its value fits the published schema."""
    topic = Topic()
    async with running(topic) as events:
        events.publish(event(instrument="KR103502GA34"))
        events.publish(event(slot=3, event="session_down", detail={"cause": "reset", "code": None, "message": "국고"}))
        assert await events.settle(5)
    assert [key for key, _ in topic.log] == [b"KR103502GA34", b"slot/3"]
    for _, value in topic.log:
        jsonschema.validate(value, SCHEMA)


async def test_the_schema_knows_the_causes():
    """A cause or a loss reason that is not in the contract is refused by the published schema."""
    for bad in (
        event(event="session_down", detail={"cause": "boredom"}),
        event(event="session_down", detail={}),
        event(event="loss"),
        {"event": "loss"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMA)
    jsonschema.validate(
        event(event="loss", detail={"frames": 1, "bytes": 2, "from": AT, "to": AT, "reason": "disk"}), SCHEMA
    )


async def test_after_a_failure_events_stay_in_order():
    """From the first failed event on everything is written again, so that none comes before its predecessor only."""
    topic = Topic()
    topic.failures = [2, 0]
    async with running(topic) as events:
        for number in range(5):
            events.publish(event(number))
        assert await events.settle(5)
        assert (events.problem, events.dropped, events.waiting) == (None, 0, 0)
    assert numbers(topic) == [0, 1, 2, 3, 4]


async def test_a_bounded_number_waits_while_kafka_is_away():
    """Beyond a thousand waiting events the oldest are given up and counted; the rest arrives when Kafka is back."""
    topic = Topic()
    topic.is_away = True
    async with running(topic) as events:
        for number in range(1_200):
            events.publish(event(number))
            await asyncio.sleep(0)
        assert not await events.settle(0.01)
        assert events.problem is not None
        assert (events.dropped, events.waiting) == (200, 1_000)
        topic.is_away = False
        assert await events.settle(5)
    assert numbers(topic) == list(range(200, 1_200))


async def test_losses_outlast_other_events():
    """Where too many wait, a loss is given up after every other event, also one that a process before could not write."""
    memory, away, topic = Memory(), Topic(), Topic()
    away.is_away = True
    async with running(away, memory) as events:
        events.publish(event(0, event="loss"))
        events.publish(event(1))
        assert not await events.settle(0.05)
    async with running(topic, memory) as events:
        for number in range(2, WAITING_AT_MOST + 2):
            events.publish(event(number, event="loss" if number == 3 else "session_down"))
        assert await events.settle(5)
        assert events.dropped == 2
    assert numbers(topic) == [0, 3, *range(4, WAITING_AT_MOST + 2)]


async def test_among_losses_the_oldest_gives_way():
    """Where nothing but losses waits, their number is bounded all the same, and what is given up is counted."""
    topic = Topic()
    topic.is_away = True
    async with running(topic) as events:
        for number in range(WAITING_AT_MOST + 1):
            events.publish(event(number, event="loss"))
        assert (events.dropped, events.waiting) == (1, WAITING_AT_MOST)
        topic.is_away = False
        assert await events.settle(5)
    assert numbers(topic) == list(range(1, WAITING_AT_MOST + 1))


async def test_what_is_given_up_during_a_write_is_not_taken_off_twice():
    """Events dropped while a batch is being written do not make later ones disappear."""
    topic = Topic()
    async with running(topic) as events:
        for number in range(WAITING_AT_MOST):
            events.publish(event(number))
        async with asyncio.timeout(5):
            while not topic.is_writing:
                await asyncio.sleep(0)
        events.publish(event(1_000))
        events.publish(event(1_001))
        assert events.dropped == 2
        assert await events.settle(5)
    assert numbers(topic) == list(range(1_002))


async def test_what_could_not_be_written_is_by_the_next_process():
    """Events that waited when the process ended come first in the topic once Kafka is back; none is written again after that."""
    memory, away, topic = Memory(), Topic(), Topic()
    away.is_away = True
    async with running(away, memory) as events:
        events.publish(event(0))
        events.publish(event(1))
        assert not await events.settle(0.05)
    async with running(topic, memory) as events:
        events.publish(event(2))
        assert await events.settle(5)
    async with running(topic, memory) as events:
        events.publish(event(3))
        assert await events.settle(5)
    assert numbers(topic) == [0, 1, 2, 3]


@pytest.mark.parametrize("kept", ["", "no JSON", "[1]", "{}", "[[1, 2]]", "null"])
async def test_kept_events_that_cannot_be_read_hold_nothing_up(kept):
    """Whatever stands beside the journal, the events of this process are written."""
    topic = Topic()
    async with running(topic, Memory(events=kept)) as events:
        events.publish(event(0))
        assert await events.settle(5)
    assert numbers(topic) == [0]
