"""Events of wanted bonds come no faster than Kafka takes them, and are told once."""

import asyncio
import contextlib

from connector.app.wanted_events import AT_ONCE, WantedEvents
from connector.core.bonds.isin import with_check_digit
from connector.shell.topics.events import ROOM_BELOW, EventTopic
from tests.shell.topics.test_events import Memory, Topic

AT = "2026-01-02T00:00:00.000Z"
KEYS = [f"instrument/{with_check_digit(f'KR{number:09}')}" for number in range(3_000)]


def wanted(keys, state="PENDING"):
    """Return the status records of wanted bonds."""
    return {key: {"state": state, "lists": ["desk"], "slot": 0} for key in keys}


@contextlib.asynccontextmanager
async def running(topic):
    """Run the events of wanted bonds and their topic for as long as the block lasts."""
    events = EventTopic(topic)
    own = WantedEvents(events)
    parts = (own.run(), events.run(), events.save_waiting(Memory()))
    tasks = [asyncio.create_task(part) for part in parts]
    yield own, events
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def until(condition):
    """Wait for a condition with a deadline."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_thousands_of_bonds_are_told_without_a_loss():
    """More bonds than may wait are told in full, and few events wait at any time."""
    topic = Topic()
    async with running(topic) as (own, events):
        own.restore({}, lambda _: True)
        own.note(wanted(KEYS), KEYS, lambda _: True, AT)
        await until(lambda: len(topic.log) == len(KEYS))
        assert (events.dropped, events.problem) == (0, None)
    assert [f"instrument/{key.decode()}" for key, _ in topic.log] == KEYS


async def test_while_kafka_is_away_the_events_wait_where_they_need_no_memory():
    """Only a few events are made; what is no longer true by then is never told."""
    topic = Topic()
    topic.is_away = True
    async with running(topic) as (own, events):
        own.restore({}, lambda _: True)
        own.note(wanted(KEYS), KEYS, lambda _: True, AT)
        await until(lambda: events.problem)
        assert ROOM_BELOW <= events.waiting < ROOM_BELOW + AT_ONCE
        waiting = events.waiting
        own.note({}, KEYS, lambda _: True, AT)
        topic.is_away = False
        await until(lambda: len(topic.log) == 2 * waiting)
        assert await events.wait_until_written(30)
        assert own._standings.changed == 0
    assert [value["event"] for _, value in topic.log] == ["wanted"] * waiting + ["unwanted"] * waiting


async def test_nothing_is_told_before_the_status_topic_was_read():
    """What the topic says was told by an earlier run; a later reading counts for others' bonds."""
    topic, ours = Topic(), KEYS[:3]
    async with running(topic) as (own, events):
        own.note(wanted(ours), ours, ours.__contains__, AT)
        own.publish_some()
        assert events.waiting == 0
        own.restore(wanted(KEYS[:2]), ours.__contains__)
        await until(lambda: len(topic.log) == 1)
        own.restore(wanted(KEYS[:4], "REJECTED"), ours.__contains__)
        own.note(wanted(KEYS[:4], "REJECTED"), KEYS[:4], lambda _: True, AT)
        await until(lambda: len(topic.log) == 4)
        assert await events.wait_until_written(30)
    assert [f"instrument/{key.decode()}" for key, _ in topic.log] == [KEYS[2], *ours]
