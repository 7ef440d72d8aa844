import asyncio
import contextlib
import time
from itertools import pairwise

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from structlog.testing import capture_logs

from connector.shell.kafka import compacted_topic
from connector.shell.kafka.aiokafka_fixes import skipped_batches
from connector.shell.kafka.compacted_topic import CompactedTopic, TopicRecord, _pieces
from tests.conftest import started
from tests.kafka.launcher import start_kafka
from tests.kafka.reader import create_topics, make_again, read_all
from tests.peak_memory import peak_memory

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(func_only=True)]
QUIET = {"log_level": 0}


@pytest.fixture(scope="module")
def cleaning_kafka():
    """Give a Kafka with a cleaner that looks for work several times a second."""
    cluster = started("Kafka", lambda: start_kafka({"log.cleaner.backoff.ms": "200"}))
    yield cluster
    cluster.close()


@pytest.fixture
def broker(cleaning_kafka):
    """Give that Kafka, running."""
    cleaning_kafka.start()
    return cleaning_kafka


class Reading:
    """A reader, with its complete readings, what followed the last one, and the restarts."""

    def __init__(self, broker, topic, client_id="test"):
        self.snapshots = []
        self.followed = []
        self.restarts = []
        self.is_cut_off = False
        self.tries = 0
        self._broker = broker
        self._client_id = client_id
        self.topic = CompactedTopic(
            topic, self.client_arguments, self.begin, self.followed.extend, lambda *told: self.restarts.append(told)
        )

    def client_arguments(self):
        self.tries += 1
        servers = "127.0.0.1:1" if self.is_cut_off else self._broker.bootstrap_servers
        return {"bootstrap_servers": servers, "client_id": self._client_id, "request_timeout_ms": 3000}

    @property
    def latest(self):
        """The records of the last complete reading, and those that followed."""
        return [*(self.snapshots[-1] if self.snapshots else []), *self.followed]

    def begin(self, records):
        self.snapshots.append(list(records))
        self.followed.clear()


@contextlib.asynccontextmanager
async def running(reading):
    """Run a reader while the block lasts."""
    task = asyncio.create_task(reading.topic.run())
    try:
        yield reading
    finally:
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()


async def until(condition, seconds=60):
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.05)


def write(broker, topic, *pairs, transactional_id=None, end="commit", **options):
    """Write pairs of key and value, in a transaction if it has an id; return the producer."""
    settings = QUIET | {
        "bootstrap.servers": broker.bootstrap_servers,
        "enable.idempotence": transactional_id is not None,
        **{name.replace("_", "."): value for name, value in options.items()},
    }
    producer = Producer(settings | ({"transactional.id": transactional_id} if transactional_id else {}))
    if transactional_id:
        producer.init_transactions(20)
        producer.begin_transaction()
    for key, value in pairs:
        producer.produce(topic, key=key, value=value, partition=0)
    assert producer.flush(20) == 0
    if transactional_id and end == "commit":
        producer.commit_transaction(20)
    elif transactional_id and end == "abort":
        producer.abort_transaction(20)
    return producer


def keys(records):
    """Return the keys in order."""
    return [record.key for record in records]


async def test_an_empty_topic_is_read_at_once(broker, topic_names):
    """A topic without records gives an empty reading."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(reading.topic.restored.is_set)
        assert reading.snapshots == [[]]
        assert reading.topic.problem is None


async def test_a_topic_is_read_to_its_end_and_followed(broker, topic_names):
    """Earlier records are one reading, later ones follow, each with its offset and time."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    write(broker, topic_names.control, (b"a", b"1"), (b"b", None))
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(reading.topic.restored.is_set)
        write(broker, topic_names.control, (b"c", b"3"))
        await until(lambda: reading.followed)
        assert [(record.key, record.value, record.offset) for record in reading.snapshots[0]] == [
            (b"a", b"1", 0),
            (b"b", None, 1),
        ]
        assert [(record.key, record.value, record.partition, record.offset) for record in reading.followed] == [
            (b"c", b"3", 0, 2)
        ]
        assert abs(reading.followed[0].timestamp_ms / 1000 - time.time()) < 60
        await until(lambda: reading.topic.lag == 0)


async def test_a_burst_comes_in_pieces_between_which_the_loop_turns(broker, topic_names):
    """Ten thousand records come in pieces and in order, and other tasks run between the pieces."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    turns, pieces = 0, []

    async def turning():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    reading = Reading(broker, topic_names.control)
    reading.topic._on_records = lambda records: pieces.append((turns, [int(record.key) for record in records]))
    async with running(reading):
        await until(reading.topic.restored.is_set)
        other = asyncio.create_task(turning())
        await asyncio.to_thread(
            write, broker, topic_names.control, *((b"%d" % number, b"{}") for number in range(10_000))
        )
        await until(lambda: sum(len(keys) for _, keys in pieces) == 10_000)
        other.cancel()
    assert [key for _, keys in pieces for key in keys] == list(range(10_000))
    assert max(len(keys) for _, keys in pieces) == 500
    assert all(later > earlier for (earlier, _), (later, _) in pairwise(pieces))


@pytest.mark.parametrize("end", ["commit", "abort"])
async def test_transaction_markers_at_the_end_are_skipped(broker, topic_names, end):
    """If a transaction's marker comes last, committed records are read and aborted ones are not."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    write(broker, topic_names.control, (b"a", b"1"))
    write(broker, topic_names.control, (b"t", b"2"), transactional_id=topic_names.control, end=end)
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(reading.topic.restored.is_set)
        assert keys(reading.snapshots[0]) == ([b"a", b"t"] if end == "commit" else [b"a"])


async def test_an_open_transaction_delays_no_start_and_is_told(broker, topic_names, monkeypatch):
    """The first reading ends before an open transaction, and the lag counts what waits for it."""
    monkeypatch.setattr(compacted_topic, "OPEN_SECONDS", 0.5)
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    write(broker, topic_names.control, (b"a", b"1"))
    open_one = write(broker, topic_names.control, (b"t", b"2"), transactional_id=topic_names.control, end="open")
    write(broker, topic_names.control, (b"b", b"3"))
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(reading.topic.restored.is_set)
        assert keys(reading.snapshots[0]) == [b"a"]
        assert reading.followed == []
        await until(lambda: reading.topic.held_up)
        assert reading.topic.lag == 2
        assert "records from offset 1 on wait for an open transaction" in reading.topic.held_up
        assert reading.topic.problem is None
        await asyncio.to_thread(open_one.commit_transaction, 20)
        await until(lambda: keys(reading.followed) == [b"t", b"b"])
        await until(lambda: reading.topic.lag == 0)
        assert reading.topic.held_up is None


async def test_a_compacted_topic_without_its_last_key_is_read(broker, topic_names):
    """The end is reached even if the last records are compacted away and only a marker is left."""
    topic = topic_names.control
    quick = {"segment_ms": "100", "delete_retention_ms": "0", "min_cleanable_dirty_ratio": "0.01"}
    create_topics(broker.bootstrap_servers, {topic: 1}, cleanup_policy="compact", **quick)
    write(broker, topic, *((f"k{number}".encode(), b"old") for number in range(10)))
    write(broker, topic, *((f"k{number}".encode(), b"new") for number in range(9)), (b"k9", None))

    def nothing_left_of_k9():
        # Each aborted transaction makes Kafka roll the segment, and leaves nothing but its marker.
        write(broker, topic, (b"x", b"x"), transactional_id=topic, end="abort")
        return b"k9" not in keys(read_all(broker.bootstrap_servers, topic))

    deadline = time.monotonic() + 60
    while not await asyncio.to_thread(nothing_left_of_k9):
        assert time.monotonic() < deadline
    async with running(Reading(broker, topic)) as reading:
        await until(reading.topic.restored.is_set)
        assert {record.key: record.value for record in reading.snapshots[0]} == {
            f"k{number}".encode(): b"new" for number in range(9)
        }


async def test_a_batch_that_unpacks_to_more_than_the_bound_is_skipped(broker, topic_names):
    """A batch above the bound is skipped, logged with its offsets and counted, for each codec."""
    topic, codecs = topic_names.control, ("gzip", "snappy", "lz4", "zstd")
    create_topics(broker.bootstrap_servers, {topic: 1}, cleanup_policy="compact", max_message_bytes="8000000")
    write(broker, topic, (b"a", b"1"))
    for codec in codecs:
        large = {"compression_type": codec, "message_max_bytes": 200_000_000}
        write(broker, topic, (codec.encode(), bytes(100 * 2**20)), **large)
    write(broker, topic, (b"b", b"2"), (b"c", b"3"), compression_type="zstd")
    with capture_logs() as logs, peak_memory() as peak:
        async with running(Reading(broker, topic)) as reading:
            await until(reading.topic.restored.is_set)
            assert keys(reading.snapshots[0]) == [b"a", b"b", b"c"]
            await until(lambda: reading.topic.lag == 0)
    skipped = [line for line in logs if line["event"] == "batch_skipped"]
    assert [(line["topic"], line["first_offset"], line["last_offset"]) for line in skipped] == [
        (topic, offset, offset) for offset in range(1, 5)
    ]
    assert skipped_batches[topic] == 4
    assert peak.grown_bytes < 150 * 2**20


async def test_a_header_name_that_is_not_utf8_does_not_stop_the_reading(broker, topic_names):
    """A broker takes any bytes as a header's name; the batch with such a record is skipped."""
    topic = topic_names.control
    create_topics(broker.bootstrap_servers, {topic: 1}, cleanup_policy="compact")
    write(broker, topic, (b"a", b"1"))
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000)
    builder.append(0, timestamp=0, key=b"k", value=b"v", headers=[("NAME", b"")])
    batch = bytes(builder.build()).replace(b"NAME", b"\xff" * 4)
    batch = batch[:17] + calc_crc32c(batch[21:]).to_bytes(4) + batch[21:]
    client = AIOKafkaClient(bootstrap_servers=broker.bootstrap_servers)
    await client.bootstrap()
    answer = await client.send(broker.brokers[0].node, ProduceRequest(None, -1, 5_000, [(topic, [(0, batch)])]))
    await client.close()
    assert answer.topics[0][1][0][1] == 0
    write(broker, topic, (b"b", b"2"))
    with capture_logs() as logs:
        async with running(Reading(broker, topic)) as reading:
            await until(reading.topic.restored.is_set)
            assert keys(reading.snapshots[0]) == [b"a", b"b"]
    assert [line["first_offset"] for line in logs if line["event"] == "batch_skipped"] == [1]


async def test_many_batches_within_the_bound_do_not_add_up(broker, topic_names):
    """Many batches that each unpack to 30 MiB are read piece by piece, and values are cut."""
    topic = topic_names.control
    create_topics(broker.bootstrap_servers, {topic: 1}, cleanup_policy="compact")
    for number in range(20):
        large = {"compression_type": "zstd", "message_max_bytes": 200_000_000}
        write(broker, topic, (b"%d" % number, bytes(30 * 2**20)), **large)
    with peak_memory() as peak:
        async with running(Reading(broker, topic)) as reading:
            await until(reading.topic.restored.is_set)
    assert len(reading.snapshots[0]) == 20
    assert max(len(record.value) for record in reading.snapshots[0]) == 2 * 2**20
    assert peak.grown_bytes < 250 * 2**20


async def test_a_long_history_is_read_as_if_it_were_compacted(broker, topic_names):
    """A first reading keeps only the latest record of each key once it takes too much memory."""
    topic = topic_names.control
    create_topics(broker.bootstrap_servers, {topic: 1}, cleanup_policy="compact")
    history = [(b"a", b"%d" % number + bytes(900_000)) for number in range(300)]
    for start in range(0, 300, 20):
        write(broker, topic, *history[start : start + 20], (b"b", b"1"), compression_type="zstd", linger_ms=100)
    with peak_memory() as peak:
        async with running(Reading(broker, topic)) as reading:
            await until(reading.topic.restored.is_set)
    last = {record.key: record.value for record in reading.snapshots[0]}
    assert last == {b"a": history[-1][1], b"b": b"1"}
    assert [record.offset for record in reading.snapshots[0]] == sorted(r.offset for r in reading.snapshots[0])
    assert peak.grown_bytes < 300 * 2**20


async def test_a_topic_that_would_take_all_memory_is_a_problem(broker, topic_names):
    """A topic with more than 64 MiB in the latest records of its keys is not read, and says so."""
    topic = topic_names.control
    create_topics(broker.bootstrap_servers, {topic: 1}, cleanup_policy="compact")
    for number in range(200):
        write(broker, topic, (b"%d" % number, bytes(2**20)), compression_type="zstd", message_max_bytes=2_000_000)
    async with running(Reading(broker, topic)) as reading:
        await until(lambda: reading.topic.unusable)
        assert reading.topic.unusable == (
            f"the latest records of topic {topic} take more than 64 MiB: remove the keys that are not needed"
        )
        assert reading.snapshots == []


async def test_a_missing_topic_is_a_problem_until_it_is_there(broker, topic_names):
    """The problem names the fix, nothing is created, and the topic is read once it exists."""
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(lambda: reading.topic.problem)
        assert "kis-bond topics init" in reading.topic.problem
        assert (
            topic_names.control
            not in AdminClient(QUIET | {"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10).topics
        )
        create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
        await until(reading.topic.restored.is_set)
        assert reading.topic.problem is None


async def test_more_than_one_partition_is_a_problem(broker, topic_names):
    """A topic with two partitions is not read, and the problem says so."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 2}, cleanup_policy="compact")
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(lambda: reading.topic.problem)
        assert "has 2 partitions instead of 1" in reading.topic.problem
        assert not reading.topic.restored.is_set()


def set_policy(broker, topic, policy):
    """Change a topic's clean-up policy."""
    change = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
    admin = AdminClient(QUIET | {"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


async def test_a_topic_that_is_not_compacted_is_a_problem(broker, topic_names):
    """A topic that deletes old records is not read until its policy is changed."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="delete")
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(lambda: reading.topic.problem)
        assert "cleanup.policy=delete" in reading.topic.problem
        await asyncio.to_thread(set_policy, broker, topic_names.control, "compact")
        await until(reading.topic.restored.is_set)


async def test_a_policy_that_also_deletes_is_a_problem_and_is_seen_while_running(broker, topic_names, monkeypatch):
    """A topic with `compact,delete` is refused, as by `topics verify`, also once it is followed."""
    monkeypatch.setattr(compacted_topic, "CHECK_EVERY_SECONDS", 0.2)
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact,delete")
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(lambda: reading.topic.unusable)
        assert "cleanup.policy=compact,delete: set it to compact alone" in reading.topic.unusable
        await asyncio.to_thread(set_policy, broker, topic_names.control, "compact")
        await until(reading.topic.restored.is_set)
        await until(lambda: reading.topic.unusable is None)
        await asyncio.to_thread(set_policy, broker, topic_names.control, "compact,delete")
        await until(lambda: reading.topic.unusable)
        assert reading.topic.problem == reading.topic.unusable


async def test_kafka_may_go_away_and_come_back(broker, topic_names):
    """A reader outlives a stopped Kafka, reports it at start, and follows what is written later."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    write(broker, topic_names.control, (b"a", b"1"))
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(reading.topic.restored.is_set)
        await asyncio.to_thread(broker.stop)
        async with running(Reading(broker, topic_names.control)) as late:
            await until(lambda: late.topic.problem)
            await asyncio.to_thread(broker.start)
            await until(late.topic.restored.is_set, 60)
            assert keys(late.snapshots[0]) == [b"a"]
        await asyncio.to_thread(write, broker, topic_names.control, (b"b", b"2"))
        await until(lambda: keys(reading.latest) == [b"a", b"b"], 60)
        assert reading.restarts == []


async def test_only_the_time_counts_in_which_a_new_record_would_be_read(broker, topic_names, monkeypatch):
    """While Kafka is away, `followed_seconds` stays; before and after that it grows."""
    monkeypatch.setattr(compacted_topic, "SILENCE_SECONDS", 1)
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(lambda: reading.topic.followed_seconds > 1)
        reading.is_cut_off = True
        await asyncio.to_thread(broker.stop)
        await until(lambda: reading.topic.problem)
        followed, tries = reading.topic.followed_seconds, reading.tries
        await until(lambda: reading.tries > tries + 1)
        assert reading.topic.followed_seconds == followed
        await asyncio.to_thread(broker.start)
        reading.is_cut_off = False
        await until(lambda: reading.topic.followed_seconds > followed + 1)


def fill_again(broker, topic, new):
    """Delete a topic, create it again, and write these keys to it."""
    make_again(broker.bootstrap_servers, topic)
    write(broker, topic, *((key, b"1") for key in new))


@pytest.mark.parametrize("count", [1, 5, 9])
async def test_a_topic_made_again_is_read_again(broker, topic_names, count):
    """A topic that is deleted and filled again is read again, however much it holds, and told."""
    create_topics(broker.bootstrap_servers, {topic_names.control: 1}, cleanup_policy="compact")
    write(broker, topic_names.control, *((f"k{number}".encode(), b"1") for number in range(5)))
    new = [f"n{number}".encode() for number in range(count)]
    async with running(Reading(broker, topic_names.control)) as reading:
        await until(lambda: reading.topic.lag == 0)
        await asyncio.to_thread(fill_again, broker, topic_names.control, new)
        await until(lambda: keys(reading.latest) == new, 60)
        await until(lambda: reading.topic.problem is None and reading.topic.lag == 0)
        assert len(reading.restarts) == 1


async def test_a_topic_made_again_while_out_of_contact_is_read_whole(broker, topic_names, monkeypatch):
    """What a refilled topic holds replaces what it held before, although it has more records."""
    monkeypatch.setattr(compacted_topic, "SILENCE_SECONDS", 1)
    topic = topic_names.control
    create_topics(broker.bootstrap_servers, {topic: 1}, cleanup_policy="compact")
    write(broker, topic, *((f"k{number}".encode(), b"1") for number in range(5)))
    new = [f"n{number}".encode() for number in range(8)]
    async with running(Reading(broker, topic)) as reading:
        await until(lambda: reading.topic.lag == 0)
        reading.is_cut_off = True
        await asyncio.to_thread(broker.stop)
        await until(lambda: reading.topic.problem, 60)
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(fill_again, broker, topic, new)
        reading.is_cut_off = False
        await until(lambda: keys(reading.latest) == new, 60)


def test_large_records_come_one_by_one():
    """A piece of what was fetched ends with the record that makes it 64 KiB."""
    sizes = [10, 70_000, 70_000, 30_000, 40_000, 5]
    records = [TopicRecord(b"key", b"x" * size, 0, place, 0) for place, size in enumerate(sizes)]
    pieces = [[record.offset for record in piece] for piece in _pieces(records)]
    assert pieces == [[0, 1], [2], [3, 4], [5]]
