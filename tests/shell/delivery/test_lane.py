"""A lane sends its batches in order, knows what Kafka has, and finds a refused record."""

import asyncio
import time

import pytest
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError

from connector.shell.delivery.batch import Record
from connector.shell.delivery.lane import SEALED_BATCHES, Lane
from connector.shell.delivery.letters import Letters
from connector.shell.delivery.position import position
from connector.shell.delivery.refusals import InvalidRecordError, marked
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
        self.records = builder.records
        await self.batches.put(([record.value for record in builder.records], answer, topic))
        return answer


@pytest.fixture
async def lane():
    """Return an open lane over a producer, its acknowledged batches, and its task."""

    async def bury(_, records, refused_as):
        one.buried += [(record, refused_as) for record in records]

    one = Lane("ticks", 3, bury=bury)
    one.producer, one.seen, one.buried = Producer(), [], []
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
    async with asyncio.timeout(30):
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


async def refuse(lane, error, places=()):
    """Refuse the next batch, of which the broker has nothing; return its records."""
    async with asyncio.timeout(30):
        _, answer, _ = await lane.producer.batches.get()
    answer.set_exception(marked(error, places, is_certain=True))
    return lane.producer.records


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


async def test_a_refused_record_leaves_the_order_and_the_others_go_on(lane):
    """One refused record leaves, by the broker's word or by halving; no producer is lost."""
    for names in (True, False):
        first = 1 if names else 11
        fill(lane, first, first + 1, first + 2)
        await refuse(lane, InvalidRecordError(), [1] if names else [])
        if not names:
            assert await answered(lane) == [b"1"]
            assert len(await refuse(lane, InvalidRecordError())) == 2
            assert len(await refuse(lane, InvalidRecordError())) == 1
            assert await answered(lane) == [b"3"]
        else:
            assert await answered(lane) == [b"1", b"3"]
        ((buried, refused_as),) = lane.buried
        assert (buried.position, buried.value, refused_as) == (position(first + 1, 0), b"2", "InvalidRecordError")
        assert lane.acknowledged == position(first + 2, 0)
        lane.buried.clear()
    fill(lane, 24, 25, 26)
    assert await answered(lane) == [b"4", b"5", b"6"], "after the refused record batches are whole again"
    assert not lane.task.done()


async def test_a_record_apart_holds_the_watermark_until_it_is_settled_and_is_not_sent_again(lane):
    """A refused record stays unacknowledged until its dead letter is; reading again skips it."""
    letters = Letters(None)
    fill(lane, 1, 2, 3)
    await refuse(lane, InvalidRecordError(), [0])
    values, _, _ = await lane.producer.batches.get()
    assert values == [b"2", b"3"]
    lane.set_apart(lane.buried[0][0], letters)
    lane.task.cancel()
    lane.close()
    assert lane.behind_from == position(2, 0)
    run(lane)
    assert [batch is None for batch in fill(lane, 1, 2, 3)] == [True, False, False]
    assert await answered(lane) == [b"2", b"3"]
    assert lane.first_unacknowledged() is None or lane.first_unacknowledged() == position(1, 0)
    lane.behind_from = None
    assert lane.first_unacknowledged() == position(1, 0)
    lane.settle(position(1, 0))
    assert lane.first_unacknowledged() is None


@pytest.mark.parametrize("names", [True, False])
async def test_a_refused_stamp_is_replaced_by_later_ones(lane, names):
    """After its own stamp a record gets the receive time, the present, and none at all."""
    lane.append(position(1, 0), 7_000_000, 3, b"k", b"1", ())
    lane.append(position(2, 0), 8_000_000, 4, b"k", b"2", ())
    seen = [await refuse(lane, InvalidTimestampError(), [0] if names else []) for _ in range(3)]
    own, received, present = ([one.timestamp for one in batch] for batch in seen)
    assert own == [3, 4]
    assert received[0] == 7
    assert abs(present[0] / 1000 - time.time()) < 10
    last = await refuse(lane, InvalidTimestampError(), [0])
    assert [one.timestamp for one in last] == ([-1] if names else [-1, -1]), "none goes beside one with a stamp"
    assert await answered(lane) == [b"2"]
    assert [one.value for one, _ in lane.buried] == [b"1"], "then it is refused for good"


async def test_batches_stay_small_after_one_too_large_as_a_whole(lane):
    """If every half of a refused batch is accepted, later batches stay as small."""
    fill(lane, 1, 2, 3)
    await refuse(lane, MessageSizeTooLargeError())
    assert [await answered(lane) for _ in range(2)] == [[b"1"], [b"2", b"3"]]
    lane._resending.most_bytes = 2
    fill(lane, 4, 5, 6)
    assert [await answered(lane) for _ in range(2)] == [[b"4", b"5"], [b"6"]]
    assert lane.buried == []


async def test_records_as_large_as_a_refused_one_leave_with_it(lane):
    """If one record alone is too large, no equally large one is asked about again."""
    fill(lane, 1, 2, 3)
    await refuse(lane, MessageSizeTooLargeError())
    await refuse(lane, MessageSizeTooLargeError())
    async with asyncio.timeout(30):
        while len(lane.buried) < 3:
            await asyncio.sleep(0)
    assert lane.producer.batches.empty()
    assert lane.acknowledged == position(3, 0)
    assert lane._resending.most_bytes is None


async def test_letters_and_the_others_take_turns():
    """A lane with many waiting letters sends a batch in order after each batch of letters."""
    lane = Lane("letters", 0, letters=Letters(None))
    lane.producer, lane.seen = Producer(), []
    for number in range(1, 7):
        lane.set_apart(Record(position(number, 0), number, number, b"k", b"x", (), "KAFKA_REFUSED"), lane.letters)
    run(lane)
    fill(lane, 11, 12, 13, 14, 15, 16)
    assert [set(await answered(lane)) for _ in range(4)] == [{b"x"}, {b"1", b"2", b"3"}, {b"x"}, {b"4", b"5", b"6"}]
    lane.task.cancel()


async def test_a_letter_sent_in_order_tells_that_kafka_takes_letters(monkeypatch):
    """Whoever waits apart then has its own minute."""
    lane, told = Lane("letters", 0, letters=Letters(None)), []
    monkeypatch.setattr(lane.letters, "note_taken", lambda: told.append(lane.acknowledged))
    lane.producer, lane.seen = Producer(), []
    run(lane)
    fill(lane, 1)
    assert await answered(lane) == [b"1"]
    assert len(told) == 1
    lane.task.cancel()


async def test_a_doubtful_refusal_ends_the_producer(lane):
    """If the batch may be in the log all the same, its lane fails, and is read again."""
    fill(lane, 1, 2, 3)
    assert await answered(lane, InvalidRecordError()) == [b"1", b"2", b"3"]
    assert lane.behind_from == position(1, 0)
    assert lane.buried == []


async def test_a_leaving_lane_starts_no_further_batch(lane):
    """A leaving lane finishes the batch in flight and starts no other."""
    fill(lane, 1, 2, 3, 4)
    _, answer, _ = await lane.producer.batches.get()
    assert lane.leave()
    answer.set_result(None)
    async with asyncio.timeout(30):
        await lane.task
    assert lane.first_unacknowledged() == position(4, 0)


def test_failures_wait_longer_each_time():
    """The pause grows up to a limit, and a missing answer is described in words."""
    lane = Lane("ticks", 0)
    pauses = []
    for _ in range(7):
        lane.note_failure(TimeoutError(), 100.0, is_suspect=True)
        pauses.append(lane.retry_at - 100.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pauses[-2] == 5.0
    assert lane.waiting_for == "no acknowledgement within 12 s"
