import asyncio
import contextlib

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from connector.shell.kafka.compacted_topic import TopicRecord
from connector.shell.topics.status import StatusRecord, StatusTopic


class Topic:
    """A topic that keeps what is written and fails as told: each batch takes the next of `failures`, one outcome for all its records."""

    def __init__(self):
        self.log = []
        self.failures = []
        self.batches = 0
        self.called = asyncio.Event()
        self.too_large = set()

    async def write(self, records):
        self.batches += 1
        self.called.set()
        await asyncio.sleep(0)
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, RuntimeError):
            raise failure
        if failure is None:
            self.log += [
                (record.key.decode(), record.value) for record in records if record.key.decode() not in self.too_large
            ]
        return [MessageSizeTooLargeError() if record.key.decode() in self.too_large else failure for record in records]


@contextlib.asynccontextmanager
async def running(topic):
    """Run a status topic's writer for as long as the block lasts."""
    status = StatusTopic(topic)
    task = asyncio.create_task(status.run())
    try:
        yield status
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("connector.shell.topics.status.RETRY_MIN_SECONDS", 0.001)
    monkeypatch.setattr("connector.shell.topics.status.RETRY_MAX_SECONDS", 0.002)


async def test_nothing_is_written_before_the_topic_was_read():
    """A wish made before the topic's content is known waits for it."""
    topic = Topic()
    async with running(topic) as status:
        status.publish({"list/a": {"x": 1}})
        assert not await status.settle(0.05)
        assert topic.log == []
        status.known([])
        assert await status.settle(5)
    assert topic.log == [("list/a", b'{"x":1}')]


async def test_only_what_differs_is_written():
    """What the topic holds already stays, changes are written, what is gone gets a tombstone, foreign keys are left alone."""
    topic = Topic()
    async with running(topic) as status:
        held = status.known(
            [
                StatusRecord(b"list/a", b'{"x":1}'),
                StatusRecord(b"list/b", b'{"x":2}'),
                StatusRecord(b"list/c", b'{"x":3}'),
                StatusRecord(b"list/c", None),
                StatusRecord(b"list/d", b"bad"),
                StatusRecord(b"theirs", b"{}"),
                StatusRecord(None, b"{}"),
            ]
        )
        assert held == {"list/a": {"x": 1}, "list/b": {"x": 2}}
        status.publish({"list/a": {"x": 1}, "slot/0": {"y": 1}})
        assert await status.settle(5)
        assert topic.log == [("slot/0", b'{"y":1}'), ("list/b", None), ("list/d", None)]
        status.publish({"list/a": {"x": 1}, "slot/0": {"y": 2}})
        assert await status.settle(5)
        assert topic.log[3:] == [("slot/0", b'{"y":2}')]
        batches = topic.batches
        status.publish({"list/a": {"x": 1}, "slot/0": {"y": 2}})
        assert await status.settle(5)
        assert topic.batches == batches


@pytest.mark.parametrize("failure", [TimeoutError("away"), RuntimeError("unforeseen")])
async def test_a_failed_write_is_done_again(failure):
    """A failure of any kind is told as a problem, then the records are written anew; success clears it."""
    topic = Topic()
    topic.failures = [failure, failure]
    async with running(topic) as status:
        status.known([])
        status.publish({"list/a": {"x": 1}})
        assert await status.settle(5)
        assert status.problem is None
    assert topic.log == [("list/a", b'{"x":1}')]
    assert topic.batches == 3


async def test_a_write_in_doubt_is_repeated_even_if_the_wish_went_back():
    """After a failure the topic may hold either value, so the old one is written again, and a wish withdrawn gets its tombstone."""
    topic = Topic()
    async with running(topic) as status:
        status.known([StatusRecord(b"list/a", b'{"x":1}')])
        topic.failures = [TimeoutError()]
        status.publish({"list/a": {"x": 2}, "list/b": {"x": 3}})
        await asyncio.wait_for(topic.called.wait(), 5)
        status.publish({"list/a": {"x": 1}})
        assert await status.settle(5)
    assert topic.log == [("list/a", b'{"x":1}'), ("list/b", None)]


async def test_the_latest_wish_wins():
    """While nothing can be written, wishes replace each other instead of queueing."""
    topic = Topic()
    async with running(topic) as status:
        status.known([])
        topic.failures = [TimeoutError()] * 5
        for number in range(100):
            status.publish({"list/a": {"x": number}})
            await asyncio.sleep(0)
        assert await status.settle(5)
    assert topic.log[-1] == ("list/a", b'{"x":99}')
    assert topic.batches < 100


async def test_a_record_kafka_will_not_take_is_left_out_until_it_changes():
    """One record too large for the topic does not keep the others from being written, nor is it tried for ever."""
    topic = Topic()
    topic.too_large = {"list/big"}
    async with running(topic) as status:
        status.known([])
        status.publish({"list/big": {"x": 1}, "list/a": {"x": 1}})
        assert await status.settle(5)
        assert topic.log == [("list/a", b'{"x":1}')]
        topic.too_large = set()
        status.publish({"list/big": {"x": 2}, "list/a": {"x": 1}})
        assert await status.settle(5)
    assert topic.log[1:] == [("list/big", b'{"x":2}')]


async def test_many_records_go_in_rounds():
    """Ten thousand records are written in rounds of a bounded size."""
    topic = Topic()
    async with running(topic) as status:
        status.known([])
        status.publish({f"list/{number}": {} for number in range(10_000)})
        assert await status.settle(10)
    assert len(topic.log) == 10_000
    assert topic.batches == 20


async def test_only_our_part_is_written_and_tombstoned():
    """What others write is neither repeated nor removed."""
    topic = Topic()
    async with running(topic) as status:
        status.known([StatusRecord(b"slot/1", b"{}"), StatusRecord(b"list/gone", b"{}")])
        status.publish({"slot/0": {"x": 1}, "slot/1": {"x": 2}}, lambda key: key != "slot/1")
        assert await status.settle(5)
    assert topic.log == [("slot/0", b'{"x":1}'), ("list/gone", None)]


async def test_a_right_to_write_that_ended_is_not_used():
    """Whether a record is ours is asked when it is written; what others wrote stands, and is what the topic is known to hold."""
    topic, rights = Topic(), {"slot/0", "slot/1"}
    async with running(topic) as own:
        own.known([])
        own.publish({"slot/0": {"owner": "one"}, "slot/1": {"owner": "one"}}, rights.__contains__)
        assert await own.settle(5)
        rights.discard("slot/0")
        own.follow([TopicRecord(b"slot/0", b'{"owner":"two"}', 0, 0, 0)])
        own.publish({"slot/0": {"owner": "one"}, "slot/1": {"owner": "ONE"}}, rights.__contains__)
        assert await own.settle(5)
        assert own.held() == {"slot/0": {"owner": "two"}, "slot/1": {"owner": "ONE"}}
    assert [key for key, _ in topic.log].count("slot/0") == 1


async def test_what_another_replica_wrote_over_ours_is_written_again():
    """Our own records come back with our name in their header and change nothing; those of others are handed on."""
    topic = Topic()
    async with running(topic) as status:
        status._name = b"me"
        status.known([])
        status.publish({"slot/0": {"x": 1}})
        assert await status.settle(5)
        ours = TopicRecord(b"slot/0", b'{"x":0}', 0, 0, 0, (("writer", b"me"),))
        assert status.follow([ours]) == {}
        assert status.differing() == []
        theirs = [
            TopicRecord(b"slot/0", b'{"x":9}', 0, 1, 0),
            TopicRecord(b"list/a", None, 0, 2, 0),
            TopicRecord(b"x", b"{}", 0, 3, 0),
        ]
        assert status.follow(theirs) == {"slot/0": {"x": 9}, "list/a": None}
        status.publish({"slot/0": {"x": 1}})
        assert await status.settle(5)
    assert topic.log == [("slot/0", b'{"x":1}')] * 2
