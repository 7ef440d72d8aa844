"""A lane sends one batch after the other, in order, and knows what Kafka has."""

import asyncio

import pytest

from connector.shell.delivery.lane import SEALED_BATCHES, Departure, Lane, frame_of, position


class Builder:
    """Holds up to three records, as aiokafka's builder holds up to so many bytes."""

    def __init__(self):
        self.values = []
        self.closed = False

    def append(self, *, timestamp, key, value, headers):
        """Take a record, or return None when full."""
        if len(self.values) == 3:
            return None
        self.values.append(value)
        return timestamp

    def close(self):
        """Take no more."""
        self.closed = True


class Producer:
    """Takes batches; the test answers them."""

    def __init__(self):
        self.batches = asyncio.Queue()

    create_batch = staticmethod(Builder)

    async def send_batch(self, builder, topic, *, partition):
        """Return the future of the batch's acknowledgement."""
        assert builder.closed
        answer = asyncio.get_running_loop().create_future()
        await self.batches.put((builder.values, answer))
        return answer


@pytest.fixture
async def lane():
    """Return a lane over a producer, its acknowledged batches, and its task."""
    one = Lane("ticks", 3, Departure())
    one.producer = Producer()
    one.restart(one.producer)
    one.seen = []
    one.task = asyncio.create_task(one.run(one.producer, one.seen.append))
    yield one
    one.task.cancel()
    await asyncio.wait([one.task])


def fill(lane, *numbers):
    """Append one record for each frame number."""
    return [lane.append(position(number, 0), number, number, b"k", b"%d" % number, ()) for number in numbers]


async def test_one_batch_is_in_flight_and_the_rest_follows_in_order(lane):
    """The next batch is sent when the one before is acknowledged, whatever came in meanwhile."""
    fill(lane, 1, 2)
    values, answer = await lane.producer.batches.get()
    fill(lane, 3, 4, 5, 6)
    await asyncio.sleep(0)
    assert values == [b"1", b"2"]
    assert lane.producer.batches.empty()
    answer.set_result(None)
    values, answer = await lane.producer.batches.get()
    assert values == [b"3", b"4", b"5"]
    assert frame_of(lane.acknowledged) == 2
    assert [batch.received_ns for batch in lane.seen] == [[1, 2]]


async def test_the_oldest_unacknowledged_record_is_known(lane):
    """It is the first record in flight, else the first that waits, else none."""
    assert lane.first_unacknowledged() is None
    fill(lane, 1, 2)
    assert lane.first_unacknowledged() == position(1, 0)
    _, answer = await lane.producer.batches.get()
    fill(lane, 7)
    assert lane.first_unacknowledged() == position(1, 0)
    answer.set_result(None)
    _, answer = await lane.producer.batches.get()
    assert lane.first_unacknowledged() == position(7, 0)
    answer.set_result(None)
    while lane.first_unacknowledged() is not None:
        await asyncio.sleep(0)


async def test_a_record_kafka_has_is_not_sent_again(lane):
    """After a restart records up to the acknowledged position are passed over, those behind it are sent."""
    fill(lane, 1, 2)
    _, answer = await lane.producer.batches.get()
    answer.set_result(None)
    while lane.first_unacknowledged() is not None:
        await asyncio.sleep(0)
    lane.task.cancel()
    lane.restart(lane.producer)
    assert [batch is None for batch in fill(lane, 1, 2, 3)] == [True, True, False]


async def test_a_refused_batch_ends_the_lane(lane):
    """What Kafka refused a batch with is raised."""
    fill(lane, 1)
    _, answer = await lane.producer.batches.get()
    answer.set_exception(ValueError("refused"))
    with pytest.raises(ValueError, match="refused"):
        await lane.task


async def test_a_full_lane_makes_its_reader_wait(lane):
    """With too many full batches waiting there is no room until one is sent."""
    fill(lane, *range(1, 3 * (SEALED_BATCHES + 1) + 2))
    assert lane.is_full
    waiting = asyncio.create_task(lane.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(3):
        _, answer = await lane.producer.batches.get()
        answer.set_result(None)
    async with asyncio.timeout(5):
        await waiting


def test_a_position_orders_records_by_frame_and_place():
    """Positions order all records of all frames; the largest frame's last record stays below the next frame's first."""
    assert position(1, 998) < position(2, 0) < position(2, 1)
    assert frame_of(position(7, 998)) == 7
