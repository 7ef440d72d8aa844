"""A restart goes on in each partition where the process before it ended."""

import asyncio
import contextlib

import pytest

from connector.core.ticks.avro import TickSchema
from connector.core.ticks.partition import partition
from connector.settings import JournalSettings
from connector.shell.delivery import Delivery
from connector.shell.journal import Journal
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS, Brokers
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA, has, plain, until, volumes


@contextlib.asynccontextmanager
async def running_on(brokers, path, schema=SCHEMA):
    """Give a journal and a running delivery, as a process has them."""
    journal = await Journal.open(JournalSettings(path=path), print)
    delivery = Delivery(journal, schema, brokers.kafka(), plain)
    journal.watch_lanes(delivery.watermarks)
    task = asyncio.create_task(delivery.run())
    try:
        yield journal, delivery
    finally:
        task.cancel()
        await asyncio.wait([task])
        await journal.close()


async def deliver_all_but_one_partition(brokers, path, count):
    """Run a process that delivers all ticks but those of one partition; return that partition."""
    stuck = partition(ISINS[0].encode(), 4)
    brokers.leads[TICKS, stuck] = None
    async with running_on(brokers, path) as (journal, _):
        for number in range(count):
            journal.append(frame(*[record(isin, accumulated=number) for isin in ISINS]))
        flowing = [isin for isin in ISINS if partition(isin.encode(), 4) != stuck]
        await until(lambda: all(has(brokers, isin) == count for isin in flowing))
        assert journal.watermark == 0
    return stuck


@pytest.mark.parametrize("times", [1, 2])
async def test_a_restart_repeats_nothing_of_the_partitions_that_did_not_wait(tmp_path, times):
    """However often the process starts, one partition without a leader costs the others no copy."""
    brokers = Brokers()
    stuck = await deliver_all_but_one_partition(brokers, tmp_path / "journal", 50)
    for _ in range(times - 1):
        async with running_on(brokers, tmp_path / "journal") as (journal, delivery):
            await until(lambda delivery=delivery: delivery.counts.unrequested == 0 and delivery.lanes)
            journal.append(frame(*[record(isin, accumulated=50) for isin in ISINS]))
            await until(lambda: has(brokers, ISINS[-1]) == 51 or partition(ISINS[-1].encode(), 4) == stuck)
    brokers.leads[TICKS, stuck] = "broker-0"
    async with running_on(brokers, tmp_path / "journal") as (journal, delivery):
        await until(lambda: journal.watermark == journal.last_seq)
        assert delivery.counts.in_flight == 0
    for isin in ISINS:
        assert volumes(brokers)[isin] == list(range(50 + times - 1)), isin


async def test_a_restart_with_more_partitions_repeats_instead_of_losing(tmp_path):
    """With another number of partitions, bonds change their lanes: the saved ones do not count."""
    brokers = Brokers()
    stuck = await deliver_all_but_one_partition(brokers, tmp_path / "journal", 50)
    brokers.leads |= {(TICKS, number): "broker-0" for number in (stuck, 4, 5, 6)}
    brokers.logs |= {(TICKS, number): [] for number in (4, 5, 6)}
    async with running_on(brokers, tmp_path / "journal") as (journal, _):
        await until(lambda: journal.watermark == 50)
    assert all(set(volumes(brokers)[isin]) == set(range(50)) for isin in ISINS)


async def test_a_restart_makes_ticks_of_dead_letters_that_kafka_did_not_get(tmp_path):
    """A dead letter that waits may be a tick for the next process: no lane passes over it."""
    brokers = Brokers()
    brokers.leads[DEAD_LETTERS, 0] = None
    field = SCHEMA.text.index('"STCK_PRPR"')
    narrow = TickSchema(SCHEMA.text[:field] + SCHEMA.text[field:].replace('"scale": 4', '"scale": 2', 1))
    async with running_on(brokers, tmp_path / "journal", narrow) as (journal, _):
        journal.append(frame(record(ISINS[0], accumulated=0)))
        journal.append(frame(record(ISINS[0], accumulated=1, price="10575.0001")))
        journal.append(frame(record(ISINS[0], accumulated=2)))
        await until(lambda: (has(brokers, ISINS[0]), journal.watermark) == (2, 1))
    async with running_on(brokers, tmp_path / "journal") as (journal, _):
        await until(lambda: journal.watermark == 3)
    assert has(brokers, ISINS[0]) == 4, "the tick that was none before, and one copy"
    assert brokers.logs[DEAD_LETTERS, 0] == []
