import asyncio
import contextlib
import json

import jsonschema
import pytest
from aiokafka.errors import MessageSizeTooLargeError

from connector.core.event import Event
from connector.shell.kafka import waiting
from connector.shell.topics.events import WAITING_AT_MOST, EventTopic
from tests.published import EVENT as SCHEMA

AT = "2026-01-02T00:00:00Z"


def event(number=0, **fields):
    """Make an event with a number in its detail."""
    given = {"event": "session_up", "at": AT, "slot": 0, "instrument": None, "detail": {"number": number}}
    return Event(**given | fields)


class Topic:
    """A topic that keeps what is written; of a batch only the first `failures.pop(0)` succeed.

    A batch with an event of more than `most` bytes is refused whole.
    """

    def __init__(self):
        self.log = []
        self.failures = []
        self.is_away = False
        self.is_writing = False
        self.most = 10_000

    async def write(self, records):
        self.is_writing = True
        await asyncio.sleep(0)
        if any(len(record.value) > self.most for record in records):
            return [MessageSizeTooLargeError()] * len(records)
        good = 0 if self.is_away else self.failures.pop(0) if self.failures else len(records)
        self.log += [(record.key, json.loads(record.value)) for record in records[:good]]
        return [None] * good + [TimeoutError()] * (len(records) - good)

    async def close(self):
        """Close nothing."""


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
    events = EventTopic(topic)
    tasks = {
        asyncio.create_task(events.save_waiting(Memory() if memory is None else memory)),
        asyncio.create_task(events.run()),
    }
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
    monkeypatch.setattr(waiting, "RETRY_MIN_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "RETRY_MAX_SECONDS", 0.002)


async def test_events_are_keyed_by_what_they_concern():
    """An event's key is its bond, slot or topic, and its value fits the published schema."""
    topic = Topic()
    async with running(topic) as events:
        events.publish(event(instrument="KR103502GA34"))
        events.publish(event(slot=3, event="session_down", detail={"cause": "reset", "code": None, "message": "국고"}))
        events.publish(event(slot=None, event="topic_restarted", detail={"topic": "control", "reason": "gone"}))
        assert await events.wait_until_written(30)
    assert [key for key, _ in topic.log] == [b"KR103502GA34", b"slot/3", b"control"]
    for _, value in topic.log:
        jsonschema.validate(value, SCHEMA)


async def test_the_schema_knows_the_causes():
    """A cause or a loss reason that is not in the contract is refused by the published schema."""
    for bad in (
        event(event="session_down", detail={"cause": "boredom"}).to_json(),
        event(event="session_down", detail={}).to_json(),
        event(event="loss").to_json(),
        {"event": "loss"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, SCHEMA)
    jsonschema.validate(
        event(event="loss", detail={"frames": 1, "bytes": 2, "from": AT, "to": AT, "reason": "disk"}).to_json(), SCHEMA
    )


async def test_after_a_failure_events_stay_in_order():
    """Everything from the first failed event on is written again, so the order is kept."""
    topic = Topic()
    topic.failures = [2, 0]
    async with running(topic) as events:
        for number in range(5):
            events.publish(event(number))
        assert await events.wait_until_written(30)
        assert (events.problem, events.dropped, events.waiting) == (None, 0, 0)
    assert numbers(topic) == [0, 1, 2, 3, 4]


async def test_an_event_that_is_too_large_holds_up_no_other():
    """It is given up and counted, and all others are written in order."""
    topic = Topic()
    async with running(topic) as events:
        for number in range(5):
            events.publish(event(number, detail={"number": number, "lists": ["x" * 20_000] if number == 2 else []}))
        assert await events.wait_until_written(30)
        assert (events.problem, events.dropped, events.waiting) == (None, 1, 0)
    assert numbers(topic) == [0, 1, 3, 4]


async def test_a_bounded_number_waits_while_kafka_is_away():
    """Above a thousand waiting events the oldest are given up and counted; the rest is written."""
    topic = Topic()
    topic.is_away = True
    async with running(topic) as events:
        for number in range(1_200):
            events.publish(event(number))
            await asyncio.sleep(0)
        assert not await events.wait_until_written(0.01)
        assert events.problem is not None
        assert (events.dropped, events.waiting) == (200, 1_000)
        topic.is_away = False
        assert await events.wait_until_written(30)
    assert numbers(topic) == list(range(200, 1_200))


async def test_a_last_save_keeps_what_came_since():
    """An event that comes just before the end is saved for the next process."""
    memory, topic = Memory(), Topic()
    events = EventTopic(topic)
    events.publish(event(7))
    assert await events.save(memory) == 1
    async with running(topic, memory) as later:
        later.publish(event(8))
        assert await later.wait_until_written(30)
    assert numbers(topic) == [7, 8]


async def test_losses_outlast_other_events():
    """If too many wait, losses are given up last, those saved by an earlier process included."""
    memory, away, topic = Memory(), Topic(), Topic()
    away.is_away = True
    async with running(away, memory) as events:
        events.publish(event(0, event="loss"))
        events.publish(event(1))
        assert not await events.wait_until_written(0.05)
    async with running(topic, memory) as events:
        for number in range(2, WAITING_AT_MOST + 2):
            events.publish(event(number, event="loss" if number == 3 else "session_down"))
        assert await events.wait_until_written(30)
        assert events.dropped == 2
    assert numbers(topic) == [0, 3, *range(4, WAITING_AT_MOST + 2)]


async def test_among_losses_the_oldest_gives_way():
    """If only losses wait, their number is bounded as well, and those given up are counted."""
    topic = Topic()
    topic.is_away = True
    async with running(topic) as events:
        for number in range(WAITING_AT_MOST + 1):
            events.publish(event(number, event="loss"))
        assert (events.dropped, events.waiting) == (1, WAITING_AT_MOST)
        topic.is_away = False
        assert await events.wait_until_written(30)
    assert numbers(topic) == list(range(1, WAITING_AT_MOST + 1))


async def test_an_event_given_up_during_a_write_is_not_removed_twice():
    """Events dropped while a batch is being written do not make later ones disappear."""
    topic = Topic()
    async with running(topic) as events:
        for number in range(WAITING_AT_MOST):
            events.publish(event(number))
        async with asyncio.timeout(30):
            while not topic.is_writing:
                await asyncio.sleep(0)
        events.publish(event(1_000))
        events.publish(event(1_001))
        assert events.dropped == 2
        assert await events.wait_until_written(30)
    assert numbers(topic) == list(range(1_002))


async def test_the_next_process_writes_the_events_that_still_wait():
    """Events that waited when a process ended are written first by the next one, and only once."""
    memory, away, topic = Memory(), Topic(), Topic()
    away.is_away = True
    async with running(away, memory) as events:
        events.publish(event(0))
        events.publish(event(1))
        assert not await events.wait_until_written(0.05)
    async with running(topic, memory) as events:
        events.publish(event(2))
        assert await events.wait_until_written(30)
    async with running(topic, memory) as events:
        events.publish(event(3))
        assert await events.wait_until_written(30)
    assert numbers(topic) == [0, 1, 2, 3]


async def test_ends_of_sessions_that_the_last_process_left_are_known():
    """Of each slot, the last event of its sessions counts; losses and other keys do not."""
    memory, away = Memory(), Topic()
    away.is_away = True
    down, loss = {"event": "session_down", "detail": {"cause": "stop"}}, {"event": "loss"}
    killed = {"event": "session_down", "detail": {"cause": "killed"}}  # a session of the process before that
    async with running(away, memory) as events:
        for slot, kinds in enumerate([[down, loss], [down, {}], [{}, down], [loss], [killed]]):
            for kind in kinds:
                events.publish(event(slot=slot, **kind))
        assert not await events.wait_until_written(0.05)
    async with running(Topic(), memory) as events:
        events.publish(event())
        assert await events.wait_until_written(30)
        assert events.told_ends == {"slot/0", "slot/2"}


async def test_a_stop_waits_until_no_written_event_is_saved_as_waiting():
    """Events that are written while they are saved do not come again from the next process."""
    save, may_save = Memory.save, asyncio.Event()

    class SlowDisk(Memory):
        async def save(self, name, value):
            await may_save.wait()
            await save(self, name, value)

    topic, memory = Topic(), SlowDisk()
    async with running(topic, memory) as events:
        events.publish(event())
        while not topic.log:
            await asyncio.sleep(0)
        may_save.set()
        assert await events.wait_until_written(30)
    assert json.loads(memory["events"]) == []


@pytest.mark.parametrize(
    "saved", ["", "no JSON", "[1]", "{}", "[[1, 2]]", "null", "[" * 100_000], ids=lambda saved: saved[:40]
)
async def test_unreadable_saved_events_delay_nothing(saved):
    """Whatever text was saved, the events of this process are written."""
    topic = Topic()
    async with running(topic, Memory(events=saved)) as events:
        events.publish(event(0))
        assert await events.wait_until_written(30)
    assert numbers(topic) == [0]


@pytest.mark.parametrize("detail", ["null", "5", "[]", '"killed"', '{"cause": null}', '{"cause": {}}', "{}"])
async def test_odd_details_of_saved_events_delay_nothing(detail):
    """They are written as they were saved, before the events of this process."""
    topic, saved = Topic(), json.dumps([["slot/0", f'{{"event": "session_down", "detail": {detail}}}']])
    async with running(topic, Memory(events=saved)) as events:
        events.publish(event(1))
        assert await events.wait_until_written(30)
        assert events.told_ends == {"slot/0"}
    assert len(topic.log) == 2


async def test_a_stop_does_not_wait_for_the_pause_after_a_failure(monkeypatch):
    """Who waits until all is written has the next attempt made at once."""
    monkeypatch.setattr(waiting, "RETRY_MIN_SECONDS", 60)
    topic = Topic()
    topic.is_away = True
    async with running(topic) as events:
        events.publish(event(1))
        while not events.problem:
            await asyncio.sleep(0)
        topic.is_away = False
        assert await events.wait_until_written(30)
    assert numbers(topic) == [1]
