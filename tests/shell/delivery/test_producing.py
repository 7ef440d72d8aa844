"""Lanes use one producer until something fails; then the producer is ended for good."""

import asyncio

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

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
