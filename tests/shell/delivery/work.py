"""A running delivery over brokers in memory, and what to ask of them."""

import asyncio
from collections import defaultdict

from connector.core.ticks.avro import TickSchema, decode
from connector.core.ticks.partition import partition
from connector.packaged_files import bond_tick
from tests.shell.delivery.fake_kafka import TICKS
from tests.shell.delivery.frames import ISINS, frame, record

SCHEMA = TickSchema(bond_tick())


async def plain():
    """Return the prefix of single-object encoding."""
    return SCHEMA.single_object_prefix


def volumes(brokers):
    """Return each bond's accumulated volumes in the order of its partition."""
    found = defaultdict(list)
    for (topic, _), held in brokers.logs.items():
        for one in held if topic == TICKS else ():
            found[one.key.decode()].append(decode(one.value, SCHEMA)["ACML_VOL"])
    return found


def has(brokers, isin):
    """Return the number of a bond's ticks in its partition."""
    held = brokers.logs[TICKS, partition(isin.encode(), 4)]
    return sum(one.key == isin.encode() for one in held)


def assert_complete(brokers, count):
    """Check that every bond's first copies are complete and in order."""
    for isin in ISINS:
        assert list(dict.fromkeys(volumes(brokers)[isin])) == list(range(count)), isin


def trade(journal, first, last):
    """Journal one tick of every bond for each accumulated volume."""
    journal.append(*[frame(*[record(isin, accumulated=number) for isin in ISINS]) for number in range(first, last)])


async def until(condition, seconds=60):
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
