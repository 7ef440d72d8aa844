import asyncio
import contextlib

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from connector.core.steps import finished
from connector.shell.kafka import waiting
from connector.shell.kafka.compacted_topic import TopicRecord
from connector.shell.kafka.record_writer import Outgoing
from connector.shell.topics.status import StatusTopic


class Topic:
    """A topic that keeps what is written; each batch fails with the next of `failures`, if any."""

    def __init__(self):
        self.log = []
        self.failures = []
        self.batches = 0
        self.called = asyncio.Event()
        self.too_large = set()

    async def close(self):
        pass

    async def write(self, records):
        self.batches += 1
        self.called.set()
        await asyncio.sleep(0)
        failure = self.failures.pop(0) if self.failures else None
        if failure is None:
            self.log += [
                (record.key.decode(), record.value) for record in records if record.key.decode() not in self.too_large
            ]
        return [MessageSizeTooLargeError() if record.key.decode() in self.too_large else failure for record in records]


def restore(status, records):
    """Give a status topic a complete reading, and return the readable records."""
    return finished(status.restore(records))


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
    monkeypatch.setattr(waiting, "RETRY_MIN_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "RETRY_MAX_SECONDS", 0.002)


async def test_nothing_is_written_before_the_topic_was_read():
    """A wish waits until the topic's content is known."""
    topic = Topic()
    async with running(topic) as status:
        status.publish({"list/a": {"x": 1}})
        assert not await status.wait_until_written(0.05)
        assert topic.log == []
        restore(status, [])
        assert await status.wait_until_written(30)
    assert topic.log == [("list/a", b'{"x":1}')]


async def test_only_what_differs_is_written():
    """Only changes are written, removed records get a tombstone, foreign keys are left alone."""
    topic = Topic()
    async with running(topic) as status:
        readable = restore(
            status,
            [
                Outgoing(b"list/a", b'{"x":1}'),
                Outgoing(b"list/b", b'{"x":2}'),
                Outgoing(b"list/c", b'{"x":3}'),
                Outgoing(b"list/c", None),
                Outgoing(b"list/d", b"bad"),
                Outgoing(b"theirs", b"{}"),
                Outgoing(None, b"{}"),
            ],
        )
        assert readable == {"list/a": {"x": 1}, "list/b": {"x": 2}}
        status.publish({"list/a": {"x": 1}, "slot/0": {"y": 1}})
        assert await status.wait_until_written(30)
        assert topic.log == [("slot/0", b'{"y":1}'), ("list/b", None), ("list/d", None)]
        status.publish({"list/a": {"x": 1}, "slot/0": {"y": 2}})
        assert await status.wait_until_written(30)
        assert topic.log[3:] == [("slot/0", b'{"y":2}')]
        batches = topic.batches
        status.publish({"list/a": {"x": 1}, "slot/0": {"y": 2}})
        assert await status.wait_until_written(30)
        assert topic.batches == batches


async def test_a_failed_write_is_done_again():
    """Records that could not be written are written again, and success clears the problem."""
    topic = Topic()
    topic.failures = [TimeoutError("away")] * 2
    async with running(topic) as status:
        restore(status, [])
        status.publish({"list/a": {"x": 1}})
        assert await status.wait_until_written(30)
        assert status.problem is None
    assert topic.log == [("list/a", b'{"x":1}')]
    assert topic.batches == 3


async def test_a_write_in_doubt_is_repeated_even_if_the_wish_went_back():
    """After a failure the topic may hold either value, so even the old one is written again."""
    topic = Topic()
    async with running(topic) as status:
        restore(status, [Outgoing(b"list/a", b'{"x":1}')])
        topic.failures = [TimeoutError()]
        status.publish({"list/a": {"x": 2}, "list/b": {"x": 3}})
        await asyncio.wait_for(topic.called.wait(), 30)
        status.publish({"list/a": {"x": 1}})
        assert await status.wait_until_written(30)
    assert topic.log == [("list/a", b'{"x":1}'), ("list/b", None)]


async def test_the_latest_wish_wins():
    """While nothing can be written, wishes replace each other instead of queueing."""
    topic = Topic()
    async with running(topic) as status:
        restore(status, [])
        topic.failures = [TimeoutError()] * 5
        for number in range(100):
            status.publish({"list/a": {"x": number}})
            await asyncio.sleep(0)
        assert await status.wait_until_written(30)
    assert topic.log[-1] == ("list/a", b'{"x":99}')
    assert topic.batches < 100


async def test_a_record_too_large_for_kafka_is_left_out_until_it_changes():
    """A record too large for the topic does not stop the others, and is not tried for ever."""
    topic = Topic()
    topic.too_large = {"list/big"}
    async with running(topic) as status:
        restore(status, [])
        status.publish({"list/big": {"x": 1}, "list/a": {"x": 1}})
        assert await status.wait_until_written(30)
        assert topic.log == [("list/a", b'{"x":1}')]
        topic.too_large = set()
        status.publish({"list/big": {"x": 2}, "list/a": {"x": 1}})
        assert await status.wait_until_written(30)
    assert topic.log[1:] == [("list/big", b'{"x":2}')]


async def test_many_records_are_written_in_rounds():
    """Ten thousand records are written in rounds of a bounded size."""
    topic = Topic()
    async with running(topic) as status:
        restore(status, [])
        status.publish({f"list/{number}": {} for number in range(10_000)})
        assert await status.wait_until_written(30)
    assert len(topic.log) == 10_000
    assert topic.batches == 20


async def test_only_our_part_is_written_and_tombstoned():
    """Records that belong to others are neither written nor removed."""
    topic = Topic()
    async with running(topic) as status:
        restore(status, [Outgoing(b"slot/1", b"{}"), Outgoing(b"list/gone", b"{}")])
        status.publish({"slot/0": {"x": 1}, "slot/1": {"x": 2}}, lambda key: key != "slot/1")
        assert await status.wait_until_written(30)
    assert topic.log == [("slot/0", b'{"x":1}'), ("list/gone", None)]


async def test_a_right_to_write_that_ended_is_not_used():
    """Whether a record is ours is asked at the moment of writing, and what others wrote stays."""
    topic, rights = Topic(), {"slot/0", "slot/1"}
    async with running(topic) as own:
        restore(own, [])
        own.publish({"slot/0": {"owner": "one"}, "slot/1": {"owner": "one"}}, rights.__contains__)
        assert await own.wait_until_written(30)
        rights.discard("slot/0")
        own.follow([TopicRecord(b"slot/0", b'{"owner":"two"}', 0, 0, 0)])
        own.publish({"slot/0": {"owner": "one"}, "slot/1": {"owner": "ONE"}}, rights.__contains__)
        assert await own.wait_until_written(30)
        assert own.readable() == {"slot/0": {"owner": "two"}, "slot/1": {"owner": "ONE"}}
    assert [key for key, _ in topic.log].count("slot/0") == 1


async def test_a_record_of_ours_that_another_replica_overwrote_is_written_again():
    """A record with our name in its header changes nothing; one of another replica is returned."""
    topic = Topic()
    async with running(topic) as status:
        status._name = b"me"
        restore(status, [])
        status.publish({"slot/0": {"x": 1}})
        assert await status.wait_until_written(30)
        ours = TopicRecord(b"slot/0", b'{"x":0}', 0, 0, 0, (("writer", b"me"),))
        assert status.follow([ours]) == ({}, {})
        assert status.differing() == []
        theirs = [
            TopicRecord(b"slot/0", b'{"x":9}', 0, 1, 0),
            TopicRecord(b"list/a", None, 0, 2, 0),
            TopicRecord(b"x", b"{}", 0, 3, 0),
        ]
        assert status.follow(theirs) == ({"slot/0": {"x": 9}, "list/a": None}, {})
        status.publish({"slot/0": {"x": 1}})
        assert await status.wait_until_written(30)
    assert topic.log == [("slot/0", b'{"x":1}')] * 2


def test_a_record_that_passes_to_another_replica_is_theirs():
    """What was not ours before or is not ours after a record of others is accepted from them."""
    status = StatusTopic(Topic())
    restore(status, [Outgoing(b"instrument/a", b'{"slot":0}'), Outgoing(b"instrument/b", b'{"slot":0}')])
    status.publish({}, lambda key: status.content.get(key, {}).get("slot") == 0)
    taken = TopicRecord(b"instrument/a", b'{"slot":1}', 0, 2, 0)
    disputed = TopicRecord(b"instrument/b", b'{"slot":0,"x":1}', 0, 3, 0)
    theirs, accepted = status.follow([taken, disputed])
    assert (set(theirs), accepted) == ({"instrument/a", "instrument/b"}, {"instrument/a": {"slot": 1}})


FIRST, SECOND = b'{"slot":0}', b'{"slot":1}'


def test_of_two_records_written_at_the_same_time_the_later_one_counts_for_both():
    """Each replica reads the other's record after Kafka acknowledged its own."""
    replicas = {}
    for name, mine, value in ((b"one", 0, FIRST), (b"two", 1, SECOND)):
        replicas[name] = status = StatusTopic(Topic(), name)
        restore(status, [])
        status.publish({"instrument/a": {"slot": mine}})
        (record,) = status.differing()
        assert record.value == value
        status._note(record, None)
    log = [
        TopicRecord(b"instrument/a", value, 0, offset, 0, (("writer", name),))
        for offset, (name, value) in enumerate([(b"one", FIRST), (b"two", SECOND)])
    ]
    for name, status in replicas.items():
        status.publish({}, lambda key, status=status, mine=name == b"two": status.content[key]["slot"] == mine)
        _, accepted = status.follow(log)
        assert (status.readable(), accepted) == ({"instrument/a": {"slot": 1}}, {"instrument/a": {"slot": 1}})


def test_an_acknowledgement_that_comes_late_does_not_hide_what_was_read():
    """Another replica wrote after us, and its record is read before Kafka acknowledges ours."""
    status = StatusTopic(Topic(), b"me")
    restore(status, [])
    status.publish({"instrument/a": {"slot": 0}})
    (record,) = status.differing()
    ours = TopicRecord(b"instrument/a", FIRST, 0, 0, 0, (("writer", b"me"),))
    status.follow([ours, TopicRecord(b"instrument/a", SECOND, 0, 1, 0)])
    assert status._note(record, None) is None
    assert status.readable() == {"instrument/a": {"slot": 1}}


def test_a_record_of_ours_counts_when_it_is_read_after_a_failure_or_a_new_reading():
    """Then nothing else tells whether it is the last one."""
    status = StatusTopic(Topic(), b"me")
    restore(status, [])
    status.publish({"instrument/a": {"slot": 0}})
    ours = TopicRecord(b"instrument/a", FIRST, 0, 1, 0, (("writer", b"me"),))
    (record,) = status.differing()
    assert isinstance(status._note(record, TimeoutError()), TimeoutError)
    status.follow([ours])
    assert status.differing() == []
    status.publish({"instrument/a": {"slot": 2}})
    (record,) = status.differing()
    assert status._note(record, None) is None
    restore(status, [TopicRecord(b"instrument/a", SECOND, 0, 2, 0)])
    status.follow([ours._replace(value=record.value, offset=3)])
    assert status.readable() == {"instrument/a": {"slot": 2}}


def test_nothing_is_kept_of_a_record_that_was_removed():
    """Lists of ever new names come and go; our own tombstones are the last we hear of them."""
    status = StatusTopic(Topic(), b"me")
    restore(status, [])
    for wish in ({"list/job": {"state": "ACCEPTED"}}, {}):
        status.publish(wish)
        (record,) = status.differing()
        status._note(record, None)
        status.follow([TopicRecord(record.key, record.value, 0, 0, 0, (("writer", b"me"),))])
    assert (status._written, status._content, status._unwritten) == (set(), {}, {})


async def test_a_topic_made_again_gets_every_record_again():
    """What a repeated reading lacks is written again, and removed if it is not wished by then."""
    topic = Topic()
    async with running(topic) as status:
        restore(status, [])
        status.publish({"slot/0": {"x": 1}, "list/a": {}, "list/b": {}})
        assert await status.wait_until_written(30)
        status.publish({"slot/0": {"x": 1}, "list/a": {}})
        restore(status, [Outgoing(b"slot/0", b'{"x":1}')])
        assert await status.wait_until_written(30)
    assert topic.log[3:] == [("list/a", b"{}"), ("list/b", None)]


async def test_only_a_record_that_is_refused_alone_is_too_large():
    """If Kafka refuses a batch, its records are written one by one, and only one is reported."""
    topic, told = Topic(), []
    topic.too_large = {"list/b"}
    write = topic.write

    async def write_as_batch(records):
        outcomes = await write(records)
        return [MessageSizeTooLargeError()] * len(records) if any(outcomes) else outcomes

    topic.write = write_as_batch
    async with running(topic) as status:
        status._on_too_large = lambda *found: told.append(found)
        restore(status, [])
        status.publish({"list/a": {"x": 1}, "list/b": {"x": 2}, "list/c": {"x": 3}})
        assert await status.wait_until_written(30)
        assert status.readable() == {"list/a": {"x": 1}, "list/c": {"x": 3}}
    assert told == [("list/b", {"x": 2}, None)]


async def test_one_turn_of_the_loop_compares_a_bounded_part():
    """Of many changed records only a part is encoded before others get a turn of the loop."""
    status = StatusTopic(Topic())
    restore(status, [])
    status.publish({f"list/{number}": {"text": "x" * 100_000} for number in range(20)})
    assert 1 <= len(status.differing()) <= 4
    status.publish({f"instrument/{number}": {} for number in range(20_000)})
    assert len(status.differing()) <= 500
    assert len(status._unwritten) <= 1010


async def test_a_record_that_is_the_same_object_is_not_encoded_again(monkeypatch):
    """A wish with the same record objects as before costs no encoding."""
    topic = Topic()
    async with running(topic) as status:
        restore(status, [])
        records = {f"instrument/{number}": {"x": 1} for number in range(3)}
        status.publish(records)
        assert await status.wait_until_written(30)
        monkeypatch.setattr("connector.core.status.encode", lambda _: pytest.fail("a record was encoded"))
        status.publish({**records})
        assert await status.wait_until_written(30)


async def test_the_content_is_what_was_written_even_if_the_wish_changed_meanwhile():
    """A wish that changes during a write does not count as written before the next write."""
    status = StatusTopic(Topic())
    restore(status, [])
    status.publish({"list/a": {"x": 1}})
    written = status.differing()
    status.publish({"list/a": {"x": 2}})
    assert [status._note(record, None) for record in written] == [None]
    assert status.readable() == {"list/a": {"x": 1}}
    assert [record.value for record in status.differing()] == [b'{"x":2}']


async def test_a_stop_does_not_wait_for_the_pause_after_a_failure(monkeypatch):
    """Who waits until all is written has the next attempt made at once."""
    monkeypatch.setattr(waiting, "RETRY_MIN_SECONDS", 60)
    topic = Topic()
    topic.failures = [TimeoutError()]
    async with running(topic) as status:
        restore(status, [])
        status.publish({"list/a": {"x": 1}})
        while not status.problem:
            await asyncio.sleep(0)
        assert await status.wait_until_written(30)
    assert topic.log == [("list/a", b'{"x":1}')]
