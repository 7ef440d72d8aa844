"""Frames are paced as they were received, and replayed through the connector's own delivery."""

import asyncio
import time

import pytest

from connector.app import replay as replaying
from connector.app.replay import paced, replay
from connector.core.ticks.avro import TickEncoder, decode
from connector.core.ticks.frame import split
from connector.errors import NotInTime
from connector.settings import load
from tests.kafka.reader import create_topics, read_all
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA


def at(milliseconds):
    """Return a frame received so many ms after a first one."""
    return frame(record())._replace(received_ns=1_795_148_263_000_000_000 + milliseconds * 10**6)


async def due(frames, speed):
    """Return each batch's frames with the ms from the start to the batch."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    return [
        (round((loop.time() - started) * 1000), [frames.index(one) for one in batch])
        async for batch in paced(frames, speed)
    ]


async def test_frames_are_due_as_they_were_received():
    """At speed 10, half a second takes 50 ms; a clock that was set back makes nobody wait."""
    frames = [at(0), at(100), at(50), at(600)]
    found = await due(frames, 10)
    assert [places for _, places in found] == [[0], [1, 2], [3]]
    assert found[0][0] < 10
    assert found[1][0] >= 10
    assert 60 <= found[2][0] < 1000


async def test_without_a_pause_frames_come_in_batches(monkeypatch):
    """At the highest speed, nobody waits, and a batch is bounded."""
    monkeypatch.setattr(replaying, "FRAMES_A_BATCH", 2)
    found = await due([at(number * 3_600_000) for number in range(5)], float("inf"))
    assert [places for _, places in found] == [[0, 1], [2, 3], [4]]


async def batches(*frames):
    """Yield frames one by one."""
    for one in frames:
        yield [one]


def settings_of(kafka, names, **more):
    """Return settings for the tests' Kafka."""
    return load(
        None,
        {"KIS_BOND_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KIS_BOND_TOPICS__TICKS": names.ticks} | more,
    )


async def test_replayed_ticks_are_those_of_the_live_feed_but_for_their_source(kafka, topic_names):
    """Times and tick_id follow from the first receipt, also of frames received on another day."""
    create_topics(kafka.bootstrap_servers, {topic_names.ticks: 3, topic_names.dead_letters: 1})
    yesterday = time.time_ns() - 86_400 * 10**9
    sent = [
        frame(record(ISINS[number % 8], accumulated=number))._replace(received_ns=yesterday, slot=2)
        for number in range(50)
    ]
    bad = frame(raw=b"9|nonsense")
    seen = []
    counts = await replay(
        settings_of(kafka, topic_names), (topic_names.ticks, topic_names.dead_letters), batches(*sent, bad), seen.append
    )
    assert (counts.acknowledged, counts.dead_letters) == (50, {"FRAME_HEADER": 1})
    assert seen[-1] == 51
    found = await asyncio.to_thread(read_all, kafka.bootstrap_servers, topic_names.ticks)
    ticks = [decode(one.value, SCHEMA) for one in found]
    assert {tick["source"] for tick in ticks} == {"replay"}
    assert {round(tick["received_at"].timestamp() * 1000) for tick in ticks} == {yesterday // 10**6}
    assert {(one.header("received-ns"), one.header("slot")) for one in found} == {(str(yesterday), "2")}
    again = await asyncio.to_thread(read_all, kafka.bootstrap_servers, topic_names.dead_letters)
    assert [one.value for one in again] == [b"9|nonsense"]
    live = TickEncoder(SCHEMA, SCHEMA.single_object_prefix)
    origin = live.origin(yesterday // 10**6)
    expected = [decode(live.encode(split(one, ())[0], origin).value, SCHEMA) for one in sent]
    assert sorted(tick["tick_id"] for tick in ticks) == sorted(tick["tick_id"] for tick in expected)
    assert len({tick["tick_id"] for tick in ticks}) == 50
    by_bond = {isin: [tick["ACML_VOL"] for tick in ticks if tick["STND_ISCD"] == isin] for isin in ISINS}
    assert all(volumes == sorted(volumes) for volumes in by_bond.values())


async def test_a_missing_topic_ends_at_once(kafka, topic_names):
    """The topic is not created, and the sentence names it."""
    with pytest.raises(NotInTime, match=f"Kafka shows this user no topic {topic_names.ticks}"):
        await replay(settings_of(kafka, topic_names), (topic_names.ticks, None), batches(), print)


async def test_a_kafka_that_goes_away_ends_with_what_is_done(own_kafka, topic_names, monkeypatch):
    """Without an acknowledgement for some time, the sentence says how far it came."""
    monkeypatch.setattr(replaying, "PATIENCE_SECONDS", 1.0)
    create_topics(own_kafka.bootstrap_servers, {topic_names.ticks: 1})

    async def half_way():
        yield [frame(record())]
        while not seen or seen[-1] < 1:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(own_kafka.stop)
        yield [frame(record())]

    seen = []
    with pytest.raises(NotInTime, match=r"Kafka acknowledged nothing for 1 s: .*The first 1 frames are done"):
        await replay(settings_of(own_kafka, topic_names), (topic_names.ticks, None), half_way(), seen.append)
