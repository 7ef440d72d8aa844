"""No partition holds up another, and no fault of one loses or reorders records."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber, UnknownProducerId

from connector.core.ticks.avro import decode
from connector.core.ticks.partition import partition
from connector.shell.delivery import Delivery
from connector.shell.delivery.refusals import InvalidRecordError
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS, Brokers
from tests.shell.delivery.frames import ISINS, MemoryJournal, frame, record
from tests.shell.delivery.work import SCHEMA, assert_complete, plain, trade, until, volumes


async def test_what_was_read_together_leaves_together_and_at_once(work):
    """The records of one read go to all partitions in one turn of the loop, without a pause."""
    brokers, journal, _ = work
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    turn, departures = 0, []

    async def count_turns():
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    for producer in brokers.producers:
        producer.send_batch = _noting(producer.send_batch, lambda: departures.append(turn))
    counting = asyncio.create_task(count_turns())
    await until(lambda: turn > 0)
    read_at = turn
    one_of_each = {partition(isin.encode(), 4): isin for isin in ISINS}
    journal.append(frame(*[record(isin, accumulated=1) for isin in one_of_each.values()]))
    await until(lambda: journal.watermark == 2)
    counting.cancel()
    assert len(departures) == len(one_of_each) > 1
    assert len(set(departures)) == 1
    assert departures[0] - read_at < 10


def _noting(send, note):
    async def noted(*batch, **place):
        note()
        return await send(*batch, **place)

    return noted


async def test_one_refused_record_becomes_a_dead_letter_and_the_rest_goes_on(work):
    """A refused tick becomes a dead letter; all others are in their partitions, in order."""
    brokers, journal, running = work
    brokers.refuses = lambda topic, records: (
        InvalidRecordError()
        if topic == TICKS and any(_volume(one) == 123 and one.key == ISINS[0].encode() for one in records)
        else None
    )
    trade(journal, 0, 400)
    await until(lambda: journal.watermark == 400, 30)
    (letter,) = brokers.logs[DEAD_LETTERS, 0]
    assert (letter.key, letter.value) == (ISINS[0].encode(), record(ISINS[0], accumulated=123).encode())
    assert letter.headers["reason"] == b"KAFKA_REFUSED"
    found = {isin: list(dict.fromkeys(held)) for isin, held in volumes(brokers).items()}
    assert found.pop(ISINS[0]) == [number for number in range(400) if number != 123]
    assert all(held == list(range(400)) for held in found.values())
    counts = running.counts
    assert (counts.decoded, counts.acknowledged, counts.in_flight, counts.dead_letters) == (
        3200,
        3199,
        0,
        {"KAFKA_REFUSED": 1},
    )


@pytest.mark.parametrize(("error", "code"), [(OutOfOrderSequenceNumber, 45), (UnknownProducerId, 59)])
async def test_a_forgotten_producer_is_given_up_and_a_doubtful_batch_sent_again(work, error, code):
    """A doubtful batch is sent again by a new producer, in order, with no dead letter."""
    brokers, journal, running = work
    doubtful = partition(ISINS[0].encode(), 4)
    trade(journal, 0, 100)
    await until(lambda: journal.watermark == 100)
    abandoned = len(brokers.abandoned)
    in_doubt = []

    def forgets(topic, records):
        if topic != TICKS or partition(records[0].key, 4) != doubtful or len(brokers.abandoned) > abandoned:
            return None
        if not in_doubt:
            in_doubt.extend(records)
            brokers.logs[topic, doubtful] += records  # written, but not acknowledged
        return error()

    brokers.refuses = forgets
    journal.append(frame(record(ISINS[0], accumulated=100)))
    await until(lambda: in_doubt)
    journal.append(frame(*[record(isin, accumulated=100) for isin in ISINS[1:]]))
    trade(journal, 101, 300)
    await until(lambda: journal.watermark == 301, 30)
    assert error.errno == code
    assert len(brokers.abandoned) > abandoned
    assert_complete(brokers, 300)
    assert volumes(brokers)[ISINS[0]].count(100) == 2, "written though refused, and sent again"
    assert brokers.logs[DEAD_LETTERS, 0] == []
    assert (running.counts.decoded, running.counts.acknowledged, running.counts.in_flight) == (2400, 2400, 0)


def _volume(one):
    return decode(one.value, SCHEMA)["ACML_VOL"]


async def test_batches_too_large_as_a_whole_cost_no_record(work):
    """If a topic refuses large batches, smaller ones are sent, with no dead letter."""
    brokers, journal, running = work
    trade(journal, 0, 5)
    await until(lambda: journal.watermark == 5)
    brokers.most_batch_bytes[TICKS] = 400
    trade(journal, 5, 300)
    await until(lambda: journal.watermark == 300, 30)
    assert_complete(brokers, 300)
    assert brokers.logs[DEAD_LETTERS, 0] == []
    rebuilds = running.counts.rebuilds
    trade(journal, 300, 600)
    await until(lambda: journal.watermark == 600, 30)
    assert running.counts.rebuilds == rebuilds, "the lower limit is known"


async def test_the_last_tick_of_a_record_that_is_not_utf8_can_be_shown(work):
    """The columns of a last tick are texts for people, even if KIS sent other bytes."""
    _, journal, running = work
    journal.append(frame(raw=b"0|H0BJCNT0|001|" + record(ISINS[0]).encode("cp949")))
    await until(lambda: running.last_tick(ISINS[0]))
    assert running.last_tick(ISINS[0])[1]["BOND_ISNM"] == record().split("^")[1]


async def test_ticks_refused_for_good_are_counted_where_no_dead_letter_is_written():
    """Without a topic of dead letters, a refused tick is counted and the others go on."""
    brokers, journal = Brokers(), MemoryJournal()
    brokers.judge = lambda topic, one: InvalidRecordError() if one.key == ISINS[0].encode() else None
    running = Delivery(journal, SCHEMA, replace(brokers.kafka(), dead_letters=None), plain, "replay")
    task = asyncio.create_task(running.run())
    try:
        trade(journal, 0, 3)
        await until(lambda: journal.watermark == 3)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert running.counts.dead_letters == {"KAFKA_REFUSED": 3}
    assert running.counts.acknowledged == 3 * (len(ISINS) - 1)
    assert running.counts.in_flight == 0
    assert not brokers.logs[DEAD_LETTERS, 0]
