"""What Kafka refuses costs the refused records their place, and nothing else."""

import asyncio
import math
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from aiokafka import errors
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.produce import ProduceResponse_v8
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from connector.core.ticks.avro import decode
from connector.shell.delivery import lane
from connector.shell.delivery.refusals import REFUSALS, InvalidRecordError, refused_places
from connector.shell.delivery.refusals import is_certain as certain
from tests.kafka.reader import QUIET, create_topics
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA
from tests.wall_time import seconds_of

REFUSED_SECONDS = 3


def test_an_invalid_record_has_its_own_error():
    """The broker's code 87 is InvalidRecordError, and counts as a refusal."""
    assert errors.for_code(87) is InvalidRecordError
    assert InvalidRecordError in REFUSALS
    assert not InvalidRecordError.retriable


@pytest.mark.parametrize(("tries", "is_certain", "used"), [(1, True, 0), (2, False, 5)])
async def test_a_batch_sent_once_and_refused_gives_its_sequence_numbers_back(tries, is_certain, used):
    """A batch that was sent twice may be in the log after all: its numbers stay used up."""
    place = TopicPartition("t", 0)
    numbers = TransactionManager(None, 1000)
    numbers.increment_sequence_number(place, 5)
    failures = []
    batch = SimpleNamespace(retry_count=tries, record_count=5, failure=lambda exception: failures.append(exception))  # noqa: PLW0108 - aiokafka names the argument
    sender = SimpleNamespace(_txn_manager=numbers, client=None, _retry_backoff=0)
    handler = SendProduceReqHandler(sender, {place: batch})
    response = ProduceResponse_v8([("t", [(0, 87, -1, -1, 0, [(1, "no"), (3, None)], "no")])], 0)
    handler.handle_response(response)
    assert refused_places(failures[0], 5) == {1, 3}
    assert isinstance(failures[0], InvalidRecordError)
    assert (certain(failures[0]), numbers.sequence_number(place)) == (is_certain, used)


def tick(accumulated, age_seconds, clock_ahead_seconds=0):
    """Return a frame with one tick per bond that was traded and received some seconds ago."""
    traded = datetime.now(UTC) + timedelta(hours=9, seconds=-age_seconds)
    texts = []
    for isin in ISINS:
        columns = record(isin, accumulated=accumulated).split("^")
        columns[2] = f"{traded:%H%M%S}"
        texts.append("^".join(columns))
    one = frame(*texts)
    return one._replace(received_ns=one.received_ns + int((clock_ahead_seconds - age_seconds) * 1e9))


async def assert_all_ticks(rig, count):
    """Check that all ticks are in the topic, each bond's in order; return the records."""
    records = await rig.read(rig.names.ticks)
    found = {isin: [] for isin in ISINS}
    for one in records:
        found[one.key.decode()].append(decode(one.value, SCHEMA)["ACML_VOL"])
    assert all(volumes == list(range(count)) for volumes in found.values())
    return records


def limit(rig, topic, name, value):
    """Change a limit of a topic."""
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient(QUIET | {"bootstrap.servers": rig.bootstrap})
    (future,) = client.incremental_alter_configs([resource]).values()
    future.result(timeout=60)


async def test_ticks_older_than_the_topics_limit_leave_quickly_with_the_present_as_stamp(start):
    """After an outage longer than the limit all ticks arrive; fresh ones keep their own stamps."""
    rig = await start(topics=False)
    create_topics(rig.bootstrap, {rig.names.ticks: 6}, message_timestamp_before_max_ms="20000")
    create_topics(rig.bootstrap, {rig.names.dead_letters: 1})
    old, fresh = 1500, 20
    frames = [tick(number, 30) for number in range(old)]
    began_ms = time.time() * 1000
    took = [await seconds_of(rig.deliver(*frames[first : first + 500])) for first in range(0, old, 500)]
    assert 500 * len(ISINS) / min(took) >= 1000  # noise only adds, so the quickest part counts
    late = [tick(old + number, 0) for number in range(fresh)]
    await rig.deliver(*late)
    records = await assert_all_ticks(rig, old + fresh)
    now_ms = time.time() * 1000
    for one in records:
        value = decode(one.value, SCHEMA)
        true_ms = value["traded_at"].timestamp() * 1000
        if value["ACML_VOL"] < old:
            assert now_ms - true_ms >= 30_000, "the true time stays in the value"
            assert one.timestamp_ms >= began_ms - 20_000
        else:
            assert one.timestamp_ms == math.floor(min(true_ms, late[value["ACML_VOL"] - old].received_ns / 1e6))
    counts = rig.delivery.counts
    assert (counts.rebuilds, counts.dead_letters, rig.journal.lost) == (0, {}, {})


async def test_the_numbers_of_a_partitions_records_begin_again_at_0(start, monkeypatch):
    """After 2**31 records of one producer, Kafka takes the later ones as well, each once."""
    begin = TransactionManager.__init__

    def begin_near_the_end(numbers, *arguments):
        begin(numbers, *arguments)
        numbers._sequence_numbers = defaultdict(lambda: 2**31 - 20)

    monkeypatch.setattr(TransactionManager, "__init__", begin_near_the_end)
    rig = await start()
    for number in range(60):
        await rig.deliver(tick(number, 0))
    await assert_all_ticks(rig, 60)
    counts = rig.delivery.counts
    assert (counts.rebuilds, counts.dead_letters, rig.journal.lost) == (0, {}, {})


async def test_an_unreadable_frame_reaches_a_compacted_topic(start):
    """A dead letter without a key is refused there; it gets one, and the watermark goes on."""
    rig = await start(topics=False)
    create_topics(rig.bootstrap, {rig.names.ticks: 6})
    create_topics(rig.bootstrap, {rig.names.dead_letters: 1}, cleanup_policy="compact")
    bad = frame(raw=b"9|nonsense")
    await rig.deliver(tick(0, 0), bad, tick(1, 0))
    await assert_all_ticks(rig, 2)
    (letter,) = await rig.read(rig.names.dead_letters)
    assert (letter.key, letter.value) == (b"slot/0/%d/0" % bad.received_ns, b"9|nonsense")
    assert (rig.journal.finished, rig.journal.pending, rig.journal.lost) == (3, 0, {})
    assert rig.delivery.counts.rebuilds == 0


async def test_a_clock_two_hours_ahead_keeps_nothing_back(start, monkeypatch):
    """Ticks have the exchange's time; a dead letter, whose times are all ours, goes without."""
    rig = await start()
    two_hours = 2 * 3600
    true_time = time.time_ns
    monkeypatch.setattr(lane.time, "time_ns", lambda: true_time() + two_hours * 10**9)
    bad = frame(raw=b"9|nonsense")
    await rig.deliver(*[tick(number, 0, two_hours) for number in range(50)], bad)
    await assert_all_ticks(rig, 50)
    (letter,) = await rig.read(rig.names.dead_letters)
    assert (letter.timestamp_ms, letter.header("received-ns")) == (-1, str(bad.received_ns))
    assert (rig.journal.pending, rig.journal.lost) == (0, {})


async def test_while_every_record_is_refused_nothing_is_lost_and_then_all_goes_on(start):
    """Refused ticks and letters are kept until Kafka takes them; nothing is lost or reordered."""
    rig = await start()
    await rig.deliver(tick(0, 0))
    for topic in (rig.names.ticks, rig.names.dead_letters):
        await asyncio.to_thread(limit, rig, topic, "max.message.bytes", "50")
    refused_until = time.monotonic() + REFUSED_SECONDS
    number = 1
    while time.monotonic() < refused_until:
        rig.journal.append(tick(number, 0))
        number += 1
        await asyncio.sleep(0.01)
    assert rig.journal.watermark == 1
    for topic in (rig.names.dead_letters, rig.names.ticks):
        await asyncio.to_thread(limit, rig, topic, "max.message.bytes", "1000000")
    began = time.monotonic()
    await rig.deliver(*[tick(each, 0) for each in range(number, number + 500)])
    seconds = time.monotonic() - began
    volumes = {isin: [] for isin in ISINS}
    for one in await rig.read(rig.names.ticks):
        volumes[one.key.decode()].append(decode(one.value, SCHEMA)["ACML_VOL"])
    letters = await rig.read(rig.names.dead_letters)
    for isin in ISINS:
        buried = [int(one.value.split(b"^")[16]) for one in letters if one.key == isin.encode()]
        assert sorted(volumes[isin] + buried) == list(range(number + 500)), "L = 0, each once"
        assert volumes[isin] == sorted(volumes[isin]), "R = 0"
    assert (number + 499) * len(ISINS) / seconds >= 300
    assert rig.journal.lost == {}
    assert rig.delivery.counts.in_flight == 0
