"""Lanes use one producer until something fails; then the producer is ended for good."""

import asyncio

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from connector.shell.delivery import lane as lane_module
from connector.shell.delivery import producing
from connector.shell.delivery.lane import Lane
from connector.shell.delivery.position import position
from connector.shell.delivery.producing import produce
from tests.shell.delivery.fake_kafka import TICKS, Brokers


async def lanes_over(brokers, count=2):
    """Return open lanes and their producer."""
    producer = brokers.producer("broker-0")
    await brokers.start(producer)
    lanes = [Lane(TICKS, number) for number in range(count)]
    for lane in lanes:
        lane.open(producer)
    return lanes, producer


def fill(lane, number):
    """Append one record."""
    lane.append(position(number, 0), 1, 1, b"k", b"%d" % number, ())


async def test_one_refusal_ends_the_producer_and_lets_the_others_finish():
    """Only the failed lane has an error; another lane's batch in flight is acknowledged."""
    brokers = Brokers()
    brokers.refuses = lambda _, records: TopicAuthorizationFailedError("no") if records[0].value == b"1" else None
    lanes, producer = await lanes_over(brokers)
    fill(lanes[0], 1)
    fill(lanes[1], 2)
    failed = await produce(lanes, producer, brokers.abandon, print)
    assert {lane.partition: type(error) for lane, error in failed.items()} == {0: TopicAuthorizationFailedError}
    assert [record.value for record in brokers.logs[TICKS, 1]] == [b"2"]
    assert brokers.abandoned == [producer]
    assert [(lane.is_open, lane.behind_from) for lane in lanes] == [(False, position(1, 0)), (False, None)]


async def test_a_dead_sender_fails_every_lane():
    """If the sender task ends, all lanes fail at once."""
    brokers = Brokers()
    lanes, producer = await lanes_over(brokers)
    working = asyncio.create_task(produce(lanes, producer, brokers.abandon, print))
    await asyncio.sleep(0)
    producer._sender.sender_task.cancel()
    async with asyncio.timeout(30):
        failed = await working
    assert set(failed) == set(lanes)
    assert all(isinstance(error, KafkaError) for error in failed.values())


async def test_a_cancelled_run_leaves_no_producer():
    """A stop abandons the producer as well."""
    brokers = Brokers()
    lanes, producer = await lanes_over(brokers)
    working = asyncio.create_task(produce(lanes, producer, brokers.abandon, print))
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait([working])
    assert brokers.abandoned == [producer]
    assert not any(lane.is_open for lane in lanes)


async def test_a_batch_that_is_not_answered_in_time_ends_the_producer(monkeypatch):
    """The lane that waits too long fails with a TimeoutError; one that was answered does not."""
    monkeypatch.setattr(lane_module, "ACK_SECONDS", 0.05)
    monkeypatch.setattr(producing, "WATCH_SECONDS", 0.01)
    brokers = Brokers()
    brokers.hanging.add("broker-1")
    lanes, producer = await lanes_over(brokers)
    fill(lanes[0], 1)
    fill(lanes[1], 2)
    async with asyncio.timeout(30):
        failed = await produce(lanes, producer, brokers.abandon, print)
    assert {lane.partition: type(error) for lane, error in failed.items()} == {1: TimeoutError}
    assert [record.value for record in brokers.logs[TICKS, 0]] == [b"1"]
    assert [(lane.is_open, lane.behind_from) for lane in lanes] == [(False, None), (False, position(2, 0))]


async def test_an_answered_batch_sets_no_timer(monkeypatch):
    """One timer a producer watches all batches of all its lanes."""
    monkeypatch.setattr(producing, "WATCH_SECONDS", 60)
    brokers, seen = Brokers(), []
    lanes, producer = await lanes_over(brokers)
    working = asyncio.create_task(produce(lanes, producer, brokers.abandon, seen.append))
    await asyncio.sleep(0)
    loop, timers = asyncio.get_running_loop(), []
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda *call, **context: timers.append(call) or call_at(*call, **context))
    for number in range(1, 101):
        fill(lanes[number % 2], number)
        while len(seen) < number:
            await asyncio.sleep(0)
    assert timers == []
    working.cancel()
    await asyncio.wait([working])
