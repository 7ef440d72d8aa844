"""A lane sends its batches in order, knows what Kafka has, and finds a refused record."""

import asyncio

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from connector.core.ticks.dead_letter import DeadLetter
from connector.shell.delivery.lane import SEALED_BATCHES, Lane, frame_of, position
from connector.shell.delivery.linger import Linger
from connector.shell.delivery.refusals import InvalidRecordError
from tests.shell.delivery.fake_kafka import Builder


class Producer:
    """Accepts batches of three records; the test answers them."""

    def __init__(self):
        self.batches = asyncio.Queue()

    @staticmethod
    def create_batch():
        """Return a builder for three records of one byte."""
        return Builder(3)

    async def send_batch(self, builder, topic, *, partition):
        """Return the future of the batch's acknowledgement."""
        assert builder.closed
        answer = asyncio.get_running_loop().create_future()
        await self.batches.put(([record.value for record in builder.records], answer, topic))
        return answer


@pytest.fixture
async def lane():
    """Return an open lane over a producer, its acknowledged batches, and its task."""
    one = Lane("ticks", 3, Linger())
    one.producer, one.seen = Producer(), []
    run(one)
    yield one
    one.task.cancel()
    await asyncio.wait([one.task])


def run(lane):
    """Open the lane and start its task."""
    lane.open(lane.producer)
    lane.task = asyncio.create_task(lane.run(lane.producer, lane.seen.append))


def fill(lane, *numbers):
    """Append one record for each frame number."""
    return [lane.append(position(number, 0), number, number, b"k", b"%d" % (number % 10), ()) for number in numbers]


async def answered(lane, error=None):
    """Answer the next batch and return its values."""
    async with asyncio.timeout(5):
        values, answer, _ = await lane.producer.batches.get()
        if error is None:
            seen = len(lane.seen)
            answer.set_result(None)
            while len(lane.seen) == seen:
                await asyncio.sleep(0)
        else:
            answer.set_exception(error)
            with pytest.raises(type(error)):
                await lane.task
            lane.close()
            run(lane)
    return values


async def test_one_batch_is_in_flight_and_the_rest_follows_in_order(lane):
    """The second batch is sent only after the first is acknowledged, in order."""
    fill(lane, 1, 2, 3, 4, 5)
    values, answer, _ = await lane.producer.batches.get()
    assert values == [b"1", b"2", b"3"]
    await asyncio.sleep(0.02)
    assert lane.producer.batches.empty()
    answer.set_result(None)
    assert await answered(lane) == [b"4", b"5"]
    assert [batch.received_ns for batch in lane.seen] == [[1, 2, 3], [4, 5]]
    assert lane.acknowledged_records == 5


async def test_the_oldest_unacknowledged_record_is_known(lane):
    """It is the first of the batch in flight, then of the waiting batches, then none."""
    assert lane.first_unacknowledged() is None
    fill(lane, 1, 2, 3, 4)
    assert await answered(lane) == [b"1", b"2", b"3"]
    assert lane.first_unacknowledged() == position(4, 0)
    await answered(lane)
    assert lane.first_unacknowledged() is None


async def test_what_kafka_has_is_not_sent_again_and_the_rest_is_read_again(lane):
    """A lane without a producer is behind from its first unacknowledged record on."""
    fill(lane, 1, 2)
    await answered(lane)
    fill(lane, 3)
    lane.task.cancel()
    lane.close()
    assert lane.behind_from == position(3, 0)
    run(lane)
    assert [batch is None for batch in fill(lane, 1, 2, 3)] == [True, True, False]


async def test_a_record_is_not_appended_twice(lane):
    """A lane ignores a record it already has."""
    assert [batch is None for batch in fill(lane, 1, 2, 1, 2, 3)] == [False, False, True, True, False]
    assert await answered(lane) == [b"1", b"2", b"3"]


async def test_a_full_lane_makes_its_reader_wait(lane):
    """A lane with too many full batches has no room until one is sent, or time is up."""
    fill(lane, *range(1, 3 * (SEALED_BATCHES + 1) + 2))
    assert lane.is_full
    assert not await lane.room(0.01)
    waiting = asyncio.create_task(lane.room(5))
    for _ in range(3):
        await answered(lane)
    assert await waiting


async def test_a_refused_batch_is_halved_until_the_refused_record_is_alone(lane):
    """A refused batch is halved until one refused record is found; the others arrive."""
    fill(lane, 1, 2, 3)
    assert await answered(lane, InvalidRecordError()) == [b"1", b"2", b"3"]
    fill(lane, 1, 2, 3)
    assert await answered(lane) == [b"1"]
    assert await answered(lane, InvalidRecordError()) == [b"2"]
    assert lane.refusals == {position(2, 0): ["InvalidRecordError"]}
    lane.divert(position(2, 0), 2, DeadLetter("KAFKA_REFUSED", b"k", b"L", 2, []), "letters", 0)
    fill(lane, 3, 4, 5)
    values, answer, topic = await lane.producer.batches.get()
    assert (values, topic) == ([b"L"], "letters")
    answer.set_result(None)
    assert await answered(lane) == [b"3", b"4", b"5"], "after the refused record batches are whole again"
    assert [batch.reasons for batch in lane.seen] == [[], ["KAFKA_REFUSED"], []]
    assert lane.refusals == {}


async def test_batches_stay_small_after_one_too_large_as_a_whole(lane):
    """If every half of a refused batch is accepted, later batches stay as small."""
    fill(lane, 1, 2, 3)
    await answered(lane, MessageSizeTooLargeError())
    fill(lane, 1, 2, 3, 4, 5)
    assert [await answered(lane) for _ in range(5)] == [[b"1"], [b"2"], [b"3"], [b"4"], [b"5"]]
    assert lane.refusals == {}


async def test_a_leaving_lane_starts_no_further_batch(lane):
    """A leaving lane finishes the batch in flight and starts no other."""
    fill(lane, 1, 2, 3, 4)
    _, answer, _ = await lane.producer.batches.get()
    assert lane.leave()
    answer.set_result(None)
    async with asyncio.timeout(5):
        await lane.task
    assert lane.first_unacknowledged() == position(4, 0)


def test_failures_wait_longer_each_time():
    """The pause grows up to a limit, and a missing answer is described in words."""
    lane = Lane("ticks", 0, Linger())
    pauses = []
    for _ in range(7):
        lane.note_failure(TimeoutError(), 100.0, is_suspect=True)
        pauses.append(lane.retry_at - 100.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] == 5.0
    assert lane.waiting_for == "no acknowledgement within 12 s"


def test_a_position_orders_records_by_frame_and_place():
    """Positions order all records; the largest frame ends below the next frame's first."""
    assert position(1, 998) < position(2, 0) < position(2, 1)
    assert frame_of(position(7, 998)) == 7
