"""A running delivery takes over the partitions that were added to the ticks' topic."""

import asyncio
from collections import Counter

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from connector.core.ticks.avro import decode
from connector.core.ticks.partition import partition
from connector.shell.delivery import delivery
from tests.shell.delivery.fake_kafka import TICKS
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA, trade, until

pytestmark = pytest.mark.usefixtures("impatient")

BEFORE, AFTER = 4, 7


def grow(brokers):
    """Add partitions to the ticks' topic."""
    for number in range(BEFORE, AFTER):
        brokers.leads[TICKS, number] = "broker-0"
        brokers.logs[TICKS, number] = []


def found(brokers):
    """Return the partitions of each bond's volumes."""
    places = {}
    for (topic, number), held in brokers.logs.items():
        for one in held if topic == TICKS else ():
            places.setdefault(one.key.decode(), []).append((decode(one.value, SCHEMA)["ACML_VOL"], number))
    return {isin: sorted(them) for isin, them in places.items()}


async def adopted(running):
    """Try until the number is taken over: on a busy machine a partition may lag for a moment."""
    async with asyncio.timeout(60):
        while not await running.adopt_partitions():
            await asyncio.sleep(0.01)


async def test_nothing_is_lost_repeated_or_out_of_order(work):
    """While ticks go on, each goes once, first to its old partition, and then to its new one."""
    brokers, journal, running = work
    trade(journal, 0, 300)
    await until(lambda: journal.watermark >= 20)
    grow(brokers)
    await adopted(running)
    trade(journal, 300, 600)
    assert running.tick_partitions == AFTER
    await until(lambda: journal.watermark == 600)
    moved = 0
    for isin, places in found(brokers).items():
        assert [volume for volume, _ in places] == list(range(600)), isin
        old, new = (partition(isin.encode(), count) for count in (BEFORE, AFTER))
        numbers = [number for _, number in places]
        assert numbers == sorted(numbers, key=[old, new].index), isin
        assert numbers[-1] == new
        moved += old != new
    assert moved > 0
    assert (running.counts.decoded, running.counts.acknowledged, running.counts.in_flight) == (4800, 4800, 0)
    assert sum(lane.acknowledged_records for lane in running.lanes) == 4800


async def test_while_a_partition_lags_the_number_is_kept(work):
    """A partition without a leader would be repeated: everything stays as it was."""
    brokers, journal, running = work
    stuck = partition(ISINS[0].encode(), BEFORE)
    brokers.leads[TICKS, stuck] = None
    trade(journal, 0, 50)
    await until(lambda: any(lane.behind_from is not None for lane in running.lanes))
    grow(brokers)
    assert not await running.adopt_partitions()
    brokers.leads[TICKS, stuck] = "broker-0"
    await until(lambda: journal.watermark == 50)
    assert running.tick_partitions == BEFORE
    await adopted(running)
    trade(journal, 50, 60)
    await until(lambda: journal.watermark == 60)
    assert {Counter(volume for volume, _ in places).most_common(1)[0][1] for places in found(brokers).values()} == {1}


async def test_a_broker_that_does_not_answer_ends_the_attempt(work, monkeypatch):
    """If what was read is not acknowledged in time, reading goes on with the old number."""
    monkeypatch.setattr(delivery, "ADOPT_SECONDS", 0.2)
    brokers, journal, running = work
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    brokers.hanging.update({"broker-0", "broker-1"})
    trade(journal, 1, 3)
    grow(brokers)
    await until(lambda: running._reading.read_through == 3)
    assert not await running.adopt_partitions()
    assert (running.tick_partitions, journal.watermark) == (BEFORE, 1)
    brokers.hanging.clear()
    trade(journal, 3, 5)
    await until(lambda: journal.watermark == 5)


async def test_a_cancelled_attempt_changes_nothing(work):
    """A stop in the middle lets reading go on, so that the stop can deliver the rest."""
    brokers, journal, running = work
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    brokers.hanging.update({"broker-0", "broker-1"})
    trade(journal, 1, 3)
    await until(lambda: running._reading.read_through == 3)
    adopting = asyncio.create_task(running.adopt_partitions())
    await until(running._reading._placing.locked)
    adopting.cancel()
    await asyncio.wait([adopting])
    brokers.hanging.clear()
    trade(journal, 3, 5)
    await until(lambda: journal.watermark == 5)
    assert running.tick_partitions == BEFORE


async def test_a_real_topic_that_grew(start):
    """On a real Kafka, ticks go by six partitions and then by eight, each once."""
    rig = await start()
    await rig.deliver(*[frame(record(isin, accumulated=number)) for number in range(50) for isin in ISINS])
    admin = AdminClient({"bootstrap.servers": rig.bootstrap, "log_level": 0})
    admin.create_partitions([NewPartitions(rig.names.ticks, 8)])[rig.names.ticks].result(30)
    rig.journal.append(frame(record(ISINS[0], accumulated=50)))
    await adopted(rig.delivery)
    assert rig.delivery.tick_partitions == 8
    await rig.deliver(*[frame(record(isin, accumulated=number)) for number in range(51, 100) for isin in ISINS])
    places = {}
    for one in await rig.read(rig.names.ticks):
        places.setdefault(one.key.decode(), []).append((decode(one.value, SCHEMA)["ACML_VOL"], one.partition))
    for isin, found_places in places.items():
        expected = [number for number in range(100) if number != 50 or isin == ISINS[0]]
        assert sorted(volume for volume, _ in found_places) == expected
        old, new = (partition(isin.encode(), count) for count in (6, 8))
        assert all(number == (old if volume < 50 else new) for volume, number in found_places if volume != 50)
