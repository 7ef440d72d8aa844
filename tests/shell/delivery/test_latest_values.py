"""The topic of latest values holds the latest tick of each bond, and never moves back."""

import asyncio
import contextlib
from random import Random

import pytest

from connector.core.ticks.avro import decode
from connector.core.ticks.latest import Order, order_in
from connector.core.ticks.partition import partition
from connector.settings import JournalSettings
from connector.shell.delivery import Delivery, assignment, lane, sorter
from connector.shell.delivery.latest_values import LatestValues
from connector.shell.journal import Journal
from tests.histories import seeds
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, LATEST, TICKS, Brokers
from tests.shell.delivery.frames import ISINS, MemoryJournal, frame, record
from tests.shell.delivery.work import SCHEMA, has, plain, until

MOST_BUSY = 60  # frames between two faults of a history


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Try again soon."""
    monkeypatch.setattr(assignment, "LEADER_SECONDS", 0.02)
    monkeypatch.setattr(lane, "RETRY_SECONDS", (0.02,))


@contextlib.asynccontextmanager
async def running_on(brokers, journal):
    """Give a running delivery, as a process has it."""
    delivery = Delivery(journal, SCHEMA, brokers.kafka(), plain)
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.wait([task])


def written(brokers, isin):
    """Return the accumulated volumes of a bond that were written to the topic of latest values."""
    log = brokers.logs[LATEST, partition(isin.encode(), 4)]
    return [decode(one.value, SCHEMA)["ACML_VOL"] for one in log if one.key == isin.encode()]


def fails_latest(topic, _):
    """Fail every batch of latest values."""
    return OSError("away") if topic == LATEST else None


def fails_nothing(*_):
    """Accept every batch."""


def trades(*volumes, isin=ISINS[0]):
    """Return one frame for each accumulated volume."""
    return [frame(record(isin, accumulated=volume)) for volume in volumes]


@pytest.mark.parametrize("run_bytes", [0, 10**9])
async def test_of_one_turn_only_the_latest_tick_of_each_bond_is_written(monkeypatch, run_bytes):
    """Frames read as a run and frames read one by one give the same last value of each bond."""
    monkeypatch.setattr(sorter, "RUN_BYTES", run_bytes)
    brokers, journal = Brokers(latest=True), MemoryJournal()
    journal.append(*trades(1, 5, 3), *trades(7, 6, isin=ISINS[1]))
    async with running_on(brokers, journal) as running:
        await until(lambda: journal.watermark == 5)
        assert (written(brokers, ISINS[0])[-1], written(brokers, ISINS[1])[-1]) == (5, 7)
        assert running.counts.acknowledged == running.counts.decoded == 5, "latest values are no further ticks"
        assert sum(lane.topic == LATEST for lane in running.lanes) == 4
        assert running.watermarks()[f"{LATEST}/0 of 4"] == 5


async def test_a_latest_value_is_the_tick_with_its_order():
    """Key, value and timestamp are those of the tick; one more header carries the order."""
    brokers, journal = Brokers(latest=True), MemoryJournal()
    journal.append(*trades(4))
    async with running_on(brokers, journal):
        await until(lambda: journal.watermark == 1)
    place = partition(ISINS[0].encode(), 4)
    (tick,), (latest,) = brokers.logs[TICKS, place], brokers.logs[LATEST, place]
    assert (latest.key, latest.value, latest.timestamp) == (tick.key, tick.value, tick.timestamp)
    value = decode(tick.value, SCHEMA)
    assert latest.headers == tick.headers | {"order": f"{value['trade_date']} 4".encode()}


async def test_a_frame_with_a_bad_record_gives_its_good_latest_values():
    """A dead letter is no latest value, though its volume may be the highest."""
    brokers, journal = Brokers(latest=True), MemoryJournal()
    journal.append(frame(record(accumulated=2), record(accumulated=9, price="x"), record(accumulated=1)))
    async with running_on(brokers, journal):
        await until(lambda: journal.watermark == 1)
    assert written(brokers, ISINS[0]) == [2]
    assert len(brokers.logs[DEAD_LETTERS, 0]) == 1


async def test_without_the_topic_nothing_is_written_to_it():
    """The setting is off: there are no lanes of latest values."""
    brokers, journal = Brokers(), MemoryJournal()
    journal.append(*trades(1))
    async with running_on(brokers, journal) as running:
        await until(lambda: journal.watermark == 1)
        assert {lane.topic for lane in running.lanes} == {TICKS, DEAD_LETTERS}


async def test_a_new_process_does_not_move_back_what_an_earlier_one_wrote():
    """The marks of a new process are those of the topic, so an older tick is left out."""
    brokers = Brokers(latest=True)
    for volumes in ([1, 9], [5, 8], [9], [10]):
        journal = MemoryJournal()
        journal.append(*trades(*volumes))
        async with running_on(brokers, journal):
            await until(lambda journal=journal: journal.watermark == len(journal.frames))
    assert written(brokers, ISINS[0])[-3:] == [9, 9, 10]


async def test_a_lane_that_lost_its_producer_learns_what_others_wrote_meanwhile():
    """The topic is read again before each opening of its lanes."""
    brokers, journal = Brokers(latest=True), MemoryJournal()
    place = partition(ISINS[0].encode(), 4)
    async with running_on(brokers, journal) as running:
        journal.append(*trades(1))
        await until(lambda: journal.watermark == 1)
        (of_bond,) = (lane for lane in running.lanes if (lane.topic, lane.partition) == (LATEST, place))
        brokers.refuses, brokers.is_readable = fails_latest, False
        journal.append(*trades(2))
        await until(lambda: "may not be read" in (of_bond.waiting_for or ""))
        other, others = Brokers(latest=True), MemoryJournal()
        others.append(*trades(3))
        async with running_on(other, others):
            await until(lambda: others.watermark == 1)
        brokers.logs[LATEST, place] += other.logs[LATEST, place]
        brokers.refuses, brokers.is_readable = fails_nothing, True
        await until(lambda: journal.watermark == 2)
    assert written(brokers, ISINS[0]) == [1, 3]


@pytest.mark.parametrize("what", ["missing", "unreadable"])
async def test_a_topic_that_cannot_be_used_delays_no_tick(what):
    """Ticks flow, the reason is shown, and the watermark waits for the latest values."""
    brokers, journal = Brokers(latest=True), MemoryJournal()
    leads = dict(brokers.leads)
    if what == "missing":
        brokers.leads = {place: leader for place, leader in leads.items() if place[0] != LATEST}
    else:
        brokers.is_readable = False
    async with running_on(brokers, journal) as running:
        journal.append(*trades(1, 2))
        await until(lambda: has(brokers, ISINS[0]) == 2)
        expected = "no topic latest" if what == "missing" else "the topic may not be read"
        await until(lambda: expected in (running.waiting_for or ""))
        assert journal.watermark == 0
        brokers.leads, brokers.is_readable = leads, True
        await until(lambda: journal.watermark == 2)
    assert written(brokers, ISINS[0])[-1] == 2


async def test_a_refused_latest_value_is_no_dead_letter():
    """The tick was delivered; the topic keeps the value before it until the next one."""
    brokers, journal = Brokers(latest=True), MemoryJournal()
    brokers.most_batch_bytes[LATEST], brokers.is_readable = 1, False
    async with running_on(brokers, journal) as running:
        journal.append(*trades(1))
        await until(lambda: has(brokers, ISINS[0]) == 1)
        brokers.is_readable = True  # so that the refusal is the last thing to happen
        await until(lambda: journal.watermark == 1, 10)
        brokers.most_batch_bytes[LATEST] = 10**6
        journal.append(*trades(2))
        await until(lambda: journal.watermark == 2)
        assert (running.counts.acknowledged, running.counts.in_flight) == (2, 0)
    assert written(brokers, ISINS[0]) == [2]
    assert brokers.logs[DEAD_LETTERS, 0] == []


def test_marks_are_only_raised():
    """An order found in the topic does not lower the mark of what was put into a lane."""
    values = LatestValues(SCHEMA)
    values.raise_marks({ISINS[0]: Order(1, 5), ISINS[1]: Order(2, 0)})
    values.raise_marks({ISINS[0]: Order(1, 4), ISINS[1]: Order(2, 1)})
    assert values._marks == {ISINS[0]: Order(1, 5), ISINS[1]: Order(2, 1)}


async def test_whatever_fails_the_topic_ends_with_the_highest_and_never_moves_back(tmp_path, monkeypatch):
    """Histories of reordered trades, brokers that hang, lose leaders or refuse, and restarts."""
    monkeypatch.setattr(lane, "ACK_SECONDS", 0.3)
    for seed in seeds("latest values", 12):
        await play(Random(seed), tmp_path / str(seed))


async def play(random, path):
    """Play one history, and judge what is in the topic at its end."""
    brokers, highest = Brokers(latest=True), dict.fromkeys(ISINS, 0)
    places = [place for place in brokers.leads if place[0] == LATEST]
    for _ in range(random.randint(1, 4)):
        journal = await Journal.open(JournalSettings(path=path), print)
        delivery = Delivery(journal, SCHEMA, brokers.kafka(), plain)
        journal.watch_lanes(delivery.watermarks)
        task = asyncio.create_task(delivery.run())
        for _ in range(random.randint(1, 4)):
            fault, place = random.choice(["none", "leader", "hangs", "error"]), random.choice(places)
            match fault:
                case "leader":
                    brokers.leads[place] = None
                case "hangs":
                    brokers.hanging.add("broker-1")
                case "error":
                    brokers.refuses = fails_latest
            for _ in range(random.randint(1, MOST_BUSY)):
                isin = random.choice(ISINS)
                volume = max(1, highest[isin] + random.randint(-3, 4))
                highest[isin] = max(highest[isin], volume)
                journal.append(frame(record(isin, accumulated=volume)))
            await asyncio.sleep(random.random() / 50)
            if random.random() < 0.7:
                brokers.leads[place], brokers.refuses = f"broker-{place[1] % 2}", fails_nothing
                brokers.hanging.clear()
                if random.random() < 0.3 and all(brokers.leads.values()):
                    await until(lambda journal=journal: journal.watermark == journal.last_seq)
        task.cancel()
        await asyncio.wait([task])
        await journal.close()
        brokers.leads |= {each: f"broker-{each[1] % 2}" for each in places}
        brokers.hanging.clear()
        brokers.refuses = fails_nothing
    journal = await Journal.open(JournalSettings(path=path), print)
    async with running_on(brokers, journal):
        await until(lambda: journal.watermark == journal.last_seq)
    await journal.close()
    for isin in ISINS:
        orders = [
            order_in(one.headers.items())
            for one in brokers.logs[LATEST, partition(isin.encode(), 4)]
            if one.key == isin.encode()
        ]
        assert orders == sorted(orders), f"{isin} moved back"
        assert (orders[-1].volume if orders else 0) == highest[isin], isin
