"""No partition holds up another, and no fault of one loses or reorders records."""

import asyncio
from dataclasses import replace

import pytest
from aiokafka.errors import KafkaConnectionError, OutOfOrderSequenceNumber, UnknownProducerId

from connector.core.ticks.avro import decode
from connector.core.ticks.partition import partition
from connector.settings import JournalSettings
from connector.shell.delivery import Delivery, delivery, lane, source
from connector.shell.delivery.position import position
from connector.shell.delivery.refusals import InvalidRecordError
from connector.shell.journal import Journal
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS, Brokers
from tests.shell.delivery.frames import ISINS, MemoryJournal, frame, record
from tests.shell.delivery.work import SCHEMA, assert_complete, has, plain, trade, until, volumes


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


async def test_a_partition_without_a_leader_leaves_the_others_flowing(work):
    """Without a leader one partition waits; the others go on and cost no further producer."""
    brokers, journal, running = work
    stuck = partition(ISINS[0].encode(), 4)
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    brokers.leads[TICKS, stuck] = None
    trade(journal, 1, 600)
    flowing = [isin for isin in ISINS if partition(isin.encode(), 4) != stuck]
    assert flowing
    await until(lambda: all(has(brokers, isin) == 600 for isin in flowing), 60)
    assert journal.watermark == 1, "the watermark is the lowest"
    await until(lambda: running.waiting_for == "a leader of the partition")
    assert running.counts.rebuilds == 1
    brokers.leads[TICKS, stuck] = "broker-0"
    await until(lambda: journal.watermark == 600, 60)
    assert_complete(brokers, 600)
    assert (running.counts.decoded, running.counts.acknowledged, running.counts.in_flight) == (4800, 4800, 0)


async def test_a_topic_with_fewer_partitions_than_before_asks_for_a_restart(work):
    """Ticks of a partition that is gone for good do not seem to wait for a leader."""
    brokers, journal, running = work
    gone = partition(ISINS[0].encode(), 4)
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    del brokers.leads[TICKS, gone]
    trade(journal, 1, 3)
    expected = f"a restart: topic {TICKS} does not have partition {gone} any more"
    await until(lambda: running.waiting_for == expected)
    assert journal.watermark == 1


async def test_a_broker_that_hangs_costs_the_other_broker_nothing(work):
    """Lanes of a healthy broker keep their producer while another broker hangs."""
    brokers, journal, _ = work
    trade(journal, 0, 10)
    await until(lambda: journal.watermark == 10)
    healthy = [producer for producer in brokers.producers if producer.leader == "broker-1"]
    brokers.hanging.add("broker-0")
    trade(journal, 10, 500)
    flowing = [isin for isin in ISINS if partition(isin.encode(), 4) % 2 == 1]
    await until(lambda: all(has(brokers, isin) == 500 for isin in flowing))
    await until(lambda: any(producer.leader == "broker-0" for producer in brokers.abandoned))
    assert not set(healthy) & set(brokers.abandoned)
    brokers.hanging.clear()
    await until(lambda: journal.watermark == 500)
    assert_complete(brokers, 500)


async def test_a_full_lane_is_left_behind_and_catches_up_while_ticks_go_on(work, monkeypatch):
    """A stuck lane holds few batches; later it reads the rest itself while new ticks arrive."""
    monkeypatch.setattr(lane, "ACK_SECONDS", 30)
    brokers, journal, running = work
    brokers.hanging.add("broker-1")
    trade(journal, 0, 600)
    flowing = [isin for isin in ISINS if partition(isin.encode(), 4) % 2 == 0]
    await until(lambda: all(has(brokers, isin) == 600 for isin in flowing), 60)
    stuck = [each for each in running.lanes if each.leader == "broker-1" or each.behind_from is not None]
    assert stuck
    assert all(len(each._sealed) < 600 for each in stuck)
    brokers.hanging.clear()
    for number in range(600, 700):
        trade(journal, number, number + 1)
        await asyncio.sleep(0.001)
    await until(lambda: journal.watermark == 700, 60)
    assert_complete(brokers, 700)
    assert not any(each.behind_from for each in running.lanes)


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


async def test_a_producer_that_cannot_start_is_tried_again(work):
    """While no broker answers, delivery waits and says so."""
    brokers, journal, running = work
    brokers.hanging.update({"broker-0", "broker-1"})
    trade(journal, 0, 10)
    await until(lambda: "KafkaConnectionError" in (running.waiting_for or ""))
    assert running.counts.rebuilds == 0, "what never ran is not rebuilt"
    brokers.hanging.clear()
    await until(lambda: journal.watermark == 10)
    assert_complete(brokers, 10)
    assert running.waiting_for is None


async def test_a_cluster_out_of_reach_is_waited_out(work, monkeypatch):
    """While no leader is known, failed lanes wait for one."""
    brokers, journal, running = work
    trade(journal, 0, 10)
    await until(lambda: journal.watermark == 10)
    leaders = brokers.leaders

    async def unreachable():
        raise KafkaConnectionError("nobody there")

    monkeypatch.setattr(
        running, "_kafka", running._kafka.__class__(TICKS, DEAD_LETTERS, unreachable, *_rest(running._kafka))
    )
    brokers.hanging.update({"broker-0", "broker-1"})
    trade(journal, 10, 20)
    await until(lambda: "nobody there" in (running.waiting_for or ""))
    monkeypatch.setattr(
        running, "_kafka", running._kafka.__class__(TICKS, DEAD_LETTERS, leaders, *_rest(running._kafka))
    )
    brokers.hanging.clear()
    await until(lambda: journal.watermark == 20)
    assert_complete(brokers, 20)


def _rest(kafka):
    return kafka.make_producer, kafka.start, kafka.abandon


async def test_an_encrypted_frame_waits_for_its_key(work, monkeypatch):
    """A new encrypted frame waits a bounded time for its key, and is then a dead letter."""
    monkeypatch.setattr(delivery, "KEY_WAIT_SECONDS", 0.3)
    brokers, journal, _ = work
    journal.append(frame(raw=b"1|H0BJCNT0|001|abc"))
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 2)
    (letter,) = brokers.logs[DEAD_LETTERS, 0]
    assert letter.headers["reason"] == b"DECRYPT_NO_KEY"
    assert_complete(brokers, 1)


async def test_a_clock_set_back_holds_up_no_encrypted_frame(work, monkeypatch):
    """A frame received an hour from now waits for its key no longer than any other."""
    monkeypatch.setattr(delivery, "KEY_WAIT_SECONDS", 0.3)
    brokers, journal, _ = work
    ahead = frame(raw=b"1|H0BJCNT0|001|abc")
    journal.append(ahead._replace(received_ns=ahead.received_ns + 3600 * 10**9))
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 2)
    assert_complete(brokers, 1)


async def test_the_last_tick_of_a_record_that_is_not_utf8_can_be_shown(work):
    """The columns of a last tick are texts for people, even if KIS sent other bytes."""
    _, journal, running = work
    journal.append(frame(raw=b"0|H0BJCNT0|001|" + record(ISINS[0]).encode("cp949")))
    await until(lambda: running.last_tick(ISINS[0]))
    assert running.last_tick(ISINS[0])[1]["BOND_ISNM"] == record().split("^")[1]


@pytest.mark.parametrize("is_behind", [False, True])
async def test_a_turn_is_bounded_in_bytes(work, monkeypatch, is_behind):
    """Both readers decode large frames a few at a time, so that other tasks get a turn."""
    brokers, journal, running = work
    monkeypatch.setattr(delivery, "FRAMES_A_TURN", 256)
    monkeypatch.setattr(delivery, "FRAMES_AGAIN", 1024)
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    many = [
        frame(*[record(ISINS[0], accumulated=number * 50 + place) for place in range(1, 51)]) for number in range(80)
    ]
    monkeypatch.setattr(source, "BYTES_A_TURN", 3 * len(many[0].raw) + 500)
    most, at_once = 0, 0
    place = running._sorter.place

    def counted(first_seq, frames, serving=None):
        nonlocal most, at_once
        at_once += len(frames)
        most = max(most, at_once)
        place(first_seq, frames, serving)

    async def others():
        nonlocal at_once
        while True:
            at_once = 0
            await asyncio.sleep(0)

    monkeypatch.setattr(running._sorter, "place", counted)
    if is_behind:
        running._read_through += len(many)
        for each in running.lanes:
            each.fall_behind(position(2, 0))
    others_turn = asyncio.create_task(others())
    journal.append(*many)
    await until(lambda: has(brokers, ISINS[0]) == 1 + 80 * 50, 30)
    others_turn.cancel()
    assert most == 3
    assert volumes(brokers)[ISINS[0]] == list(range(80 * 50 + 1))


async def test_damaged_frames_at_the_journals_end_hold_up_no_stop(tmp_path):
    """Damaged last frames are a counted loss, and everything is then finished."""
    settings = JournalSettings(path=tmp_path / "data" / "journal")
    journal = await Journal.open(settings, print)
    for number in range(5):
        journal.append(frame(record(accumulated=number)))
    await journal.close()
    (segment,) = settings.path.glob("*.log")
    content = bytearray(segment.read_bytes())
    for seq in (4, 5):
        content[content.rindex(b"0|H0BJCNT0", 0, None if seq == 5 else content.rindex(b"0|H0BJCNT0"))] ^= 1
    segment.write_bytes(content)
    brokers, journal = Brokers(), await Journal.open(settings, print)
    running = Delivery(journal, SCHEMA, brokers.kafka(), plain)
    task = asyncio.create_task(running.run())
    try:
        async with asyncio.timeout(5):
            await running.drained(5)
        assert volumes(brokers)[ISINS[0]] == [0, 1, 2]
        assert (journal.finished, journal.pending, journal.lost) == (3, 0, {"corrupt": 2})
    finally:
        task.cancel()
        await asyncio.wait([task])
        await journal.close()


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
