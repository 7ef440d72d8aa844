"""Delivery brings journalled frames to Kafka in order, and waits until Kafka is there."""

import asyncio
import dataclasses
import json
import random
from collections import Counter

from connector.core.ticks.avro import decode, registry_prefix
from connector.core.ticks.partition import partition
from connector.shell.delivery.sorter import Sorter
from connector.shell.kafka import arguments
from tests.kafka.reader import create_topics
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA


async def test_each_tick_is_one_record_keyed_by_its_isin(start):
    """Ticks have the key, partition, timestamp and headers of the contract, in order by key."""
    rig = await start()
    sent = [frame(record(ISINS[number % 8], 1, number)) for number in range(400)]
    await rig.deliver(*sent)
    records = await rig.read(rig.names.ticks)
    values = [decode(one.value, SCHEMA) for one in records]
    assert Counter(value["ACML_VOL"] for value in values) == Counter(range(400))
    for one, value in zip(records, values, strict=True):
        origin = sent[value["ACML_VOL"]]
        assert one.key == value["STND_ISCD"].encode()
        assert one.partition == partition(one.key, 6)
        assert one.timestamp_ms == min(int(value["traded_at"].timestamp() * 1000), origin.received_ns // 1_000_000)
        assert dict(one.headers) == {
            "received-ns": str(origin.received_ns).encode(),
            "slot": b"0",
            "schema": SCHEMA.fingerprint.hex().encode(),
        }
    for isin in ISINS:
        volumes = [value["ACML_VOL"] for value in values if value["STND_ISCD"] == isin]
        assert volumes == sorted(volumes)
    counts = rig.delivery.counts
    assert (counts.decoded, counts.acknowledged, counts.in_flight, counts.latencies.total) == (400, 400, 0, 400)


async def test_the_latest_tick_of_each_bond_survives_compaction_and_restarts(start, kafka, topic_names):
    """The compacted topic ends with the highest tick of each bond, also after an older one."""
    latest = f"{topic_names.ticks}.latest"
    create_topics(kafka.bootstrap_servers, {latest: 6}, **{"cleanup.policy": "compact"})
    rig = await start(latest=latest)
    await rig.deliver(*[frame(record(isin, 1, volume)) for volume in (1, 9, 5) for isin in ISINS])
    rig = await start(latest=latest)
    await rig.deliver(*[frame(record(isin, 1, 7)) for isin in ISINS[1:]], frame(record(ISINS[0], 1, 10)))
    found = {one.key.decode(): one for one in await rig.read(latest)}
    volumes = {isin: decode(one.value, SCHEMA)["ACML_VOL"] for isin, one in found.items()}
    assert volumes == dict.fromkeys(ISINS, 9) | {ISINS[0]: 10}
    assert all(one.partition == partition(one.key, 6) for one in found.values())
    assert found[ISINS[0]].header("order").endswith(" 10")


async def test_bad_records_become_dead_letters_and_the_good_ones_of_the_frame_go_out(start):
    """Of a frame of three with a bad second, two ticks and one dead letter arrive."""
    rig = await start()
    bad = record(ISINS[1], price="1e9")
    await rig.deliver(
        frame(record(accumulated=1), bad, record(accumulated=2)), frame(raw=b"9|nonsense"), frame(record(accumulated=3))
    )
    ticks = [decode(one.value, SCHEMA)["ACML_VOL"] for one in await rig.read(rig.names.ticks)]
    letters = await rig.read(rig.names.dead_letters)
    assert ticks == [1, 2, 3]
    assert [(one.key, one.value, one.header("reason"), one.header("field")) for one in letters] == [
        (ISINS[1].encode(), bad.encode(), "FIELD_NUMBER", "STCK_PRPR"),
        (None, b"9|nonsense", "FRAME_HEADER", None),
    ]
    counts = rig.delivery.counts
    assert counts.dead_letters == {"FIELD_NUMBER": 1, "FRAME_HEADER": 1}
    assert (counts.decoded, counts.acknowledged, counts.in_flight) == (4, 3, 0)


async def test_a_restart_delivers_what_was_not_finished_and_only_that(start):
    """Frames journalled while no delivery ran are delivered by the next one, once."""
    rig = await start()
    await rig.deliver(*[frame(record(accumulated=number)) for number in range(100)])
    rig.task.cancel()
    await asyncio.wait([rig.task])
    for number in range(100, 200):
        rig.journal.append(frame(record(accumulated=number)))
    rig = await start()
    await rig.deliver()
    values = [decode(one.value, SCHEMA) for one in await rig.read(rig.names.ticks)]
    assert [value["ACML_VOL"] for value in values] == list(range(200))
    assert len({value["tick_id"] for value in values}) == 200


async def test_a_producer_that_ends_is_replaced_and_nothing_is_missing(start):
    """A new producer starts at the first unacknowledged record; copies have equal identities."""
    rig = await start()
    producers = []
    make = rig.delivery._assignment._kafka.make_producer
    rig.delivery._assignment._kafka = dataclasses.replace(
        rig.delivery._assignment._kafka, make_producer=lambda broker: producers.append(make(broker)) or producers[-1]
    )
    await rig.deliver(frame(record(accumulated=0)))
    for _ in range(3):
        for number in range(1, 300):
            rig.journal.append(frame(record(accumulated=number)))
        producers[-1]._sender.sender_task.cancel()
        await rig.deliver()
    identities = {}
    for one in await rig.read(rig.names.ticks):
        value = decode(one.value, SCHEMA)
        identities.setdefault(value["ACML_VOL"], set()).add(value["tick_id"])
    assert sorted(identities) == list(range(300))
    assert all(len(copies) == 1 for copies in identities.values())
    counts = rig.delivery.counts
    assert counts.rebuilds >= 3, (
        "a sender that dies may fail the batch of one lane first, which then gets a producer of its own"
    )
    assert (counts.decoded, counts.acknowledged) == (898, 898)


async def test_a_record_too_large_for_the_topic_becomes_a_dead_letter(start):
    """A tick too large for its topic is a dead letter; all others arrive in order."""
    rig = await start(topics=False)
    create_topics(rig.bootstrap, {rig.names.ticks: 6}, max_message_bytes="4096")
    create_topics(rig.bootstrap, {rig.names.dead_letters: 1})
    rng = random.Random(4)
    large = record(ISINS[3], accumulated=50) + "".join(f"^{rng.randbytes(400).hex()}" for _ in range(10))
    frames = [frame(record(ISINS[3], accumulated=number)) for number in range(200)]
    await rig.deliver(*frames[:50], frame(large), *frames[51:])
    (letter,) = await rig.read(rig.names.dead_letters)
    assert (letter.key, letter.value, letter.header("reason")) == (ISINS[3].encode(), large.encode(), "KAFKA_REFUSED")
    values = [decode(one.value, SCHEMA)["ACML_VOL"] for one in await rig.read(rig.names.ticks)]
    assert list(dict.fromkeys(values)) == [number for number in range(200) if number != 50]
    counts = rig.delivery.counts
    assert (counts.decoded, counts.acknowledged, counts.in_flight) == (200, 199, 0)


async def test_a_missing_topic_is_named_with_its_cure_and_nothing_is_lost(start, monkeypatch):
    """Delivery names a missing topic and the fix; once it exists, everything arrives."""
    monkeypatch.setattr(arguments, "REQUEST_TIMEOUT_MS", 1000)
    rig = await start(topics=False)
    rig.journal.append(frame(record(accumulated=5)))
    async with asyncio.timeout(30):
        while rig.delivery.missing_topic is None:
            await asyncio.sleep(0.05)
    assert "kis-bond topics init" in rig.delivery.missing_topic
    assert rig.names.ticks in rig.delivery.missing_topic
    create_topics(rig.bootstrap, {rig.names.ticks: 6, rig.names.dead_letters: 1})
    await rig.deliver()
    assert [decode(one.value, SCHEMA)["ACML_VOL"] for one in await rig.read(rig.names.ticks)] == [5]
    assert rig.delivery.missing_topic is None


async def test_registry_framing_reaches_the_topic(start):
    """With a registry's prefix, each value begins with the schema id."""
    rig = await start(framing=registry_prefix(42))
    await rig.deliver(frame(record()))
    (one,) = await rig.read(rig.names.ticks)
    assert one.value[:5] == b"\x00\x00\x00\x00\x2a"


async def test_ticks_nobody_asked_for_are_published_and_counted(start):
    """A tick of a bond on no list is published like any other, and counted."""
    rig = await start()
    await rig.deliver(frame(record(ISINS[2])))
    assert rig.delivery.counts.unrequested == 0, "before the lists are known nothing is unrequested"
    rig.delivery.request(frozenset(ISINS[:1]))
    await rig.deliver(frame(record(ISINS[0]), record(ISINS[1])))
    assert rig.delivery.counts.unrequested == 1
    assert rig.delivery.counts.acknowledged == 3


async def test_a_decoding_bug_delays_ticks_instead_of_losing_them(start, monkeypatch):
    """While the encoder raises, frames wait in the journal; afterwards they arrive."""
    rig = await start()
    await rig.deliver(frame(record(accumulated=0)))
    real = Sorter.place
    monkeypatch.setattr(Sorter, "place", lambda *_: 1 / 0)
    rig.journal.append(frame(record(accumulated=1)))
    async with asyncio.timeout(30):
        while "ZeroDivisionError" not in (rig.delivery.waiting_for or ""):
            await asyncio.sleep(0.02)
    assert rig.journal.pending == 1
    monkeypatch.setattr(Sorter, "place", real)
    await rig.deliver()
    assert [decode(one.value, SCHEMA)["ACML_VOL"] for one in await rig.read(rig.names.ticks)] == [0, 1]


def test_the_schema_is_json():
    """The schema's text is JSON that a registry accepts."""
    assert json.loads(SCHEMA.text)["name"] == "BondTick"


async def test_the_last_tick_of_a_bond_can_be_looked_up(start):
    """A bond's last tick stays known, as columns and receive time, over a new producer."""
    rig = await start()
    assert rig.delivery.last_tick(ISINS[0]) is None
    last = frame(record(ISINS[0], accumulated=2))
    await rig.deliver(frame(record(ISINS[0], accumulated=1)), last)
    received_ns, columns = rig.delivery.last_tick(ISINS[0])
    assert received_ns == last.received_ns
    assert (columns["STND_ISCD"], columns["ACML_VOL"], len(columns)) == (ISINS[0], "2", SCHEMA.width)
    rig.task.cancel()
    await asyncio.wait([rig.task])
    rig.task = asyncio.create_task(rig.delivery.run())
    await rig.deliver(frame(record(ISINS[1])))
    assert rig.delivery.last_tick(ISINS[0]) == (received_ns, columns)
