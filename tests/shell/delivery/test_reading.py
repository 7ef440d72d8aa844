"""The journal is read once for lanes that keep up, and again for those that lag."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from connector.core.journal.record import Block
from connector.core.ticks.partition import partition
from connector.settings import JournalSettings
from connector.shell.delivery import Delivery, lane, reading, source
from connector.shell.delivery.position import position
from connector.shell.delivery.reading import Reading
from connector.shell.journal import Journal
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, Brokers, Builder
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import SCHEMA, assert_complete, has, plain, trade, until, volumes


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


async def test_what_piled_up_while_kafka_was_away_is_decoded_once(work, monkeypatch):
    """Lanes that lag catch up before the first reader goes on, so both do not decode everything."""
    monkeypatch.setattr(lane, "ACK_SECONDS", 1)
    monkeypatch.setattr(Builder.__init__, "__defaults__", (16_384,))  # as Kafka's: a turn fills no lane
    brokers, journal, running = work
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 1)
    brokers.hanging |= {"broker-0", "broker-1"}
    trade(journal, 1, 200)
    await until(lambda: running._reading.read_through == 200)
    await until(lambda: not any(each.is_open for each in running.lanes))
    trade(journal, 200, 1000)
    place, decoded = running._sorter.place, 0

    def counted(first_seq, frames, serving=None):
        nonlocal decoded
        decoded += len(frames)
        place(first_seq, frames, serving)

    read = journal.read

    async def once_all_are_open(after, limit):
        await until(lambda: all(each.is_open for each in running.lanes))
        return await read(after, limit)

    monkeypatch.setattr(running._sorter, "place", counted)
    monkeypatch.setattr(journal, "read", once_all_are_open)  # so that it does not matter which lane is first
    monkeypatch.setattr(reading, "PATIENCE_SECONDS", 30)
    monkeypatch.setattr(lane, "ACK_SECONDS", 60)  # a sound broker may be slow on a busy machine
    brokers.hanging.clear()
    await until(lambda: journal.watermark == 1000)
    assert_complete(brokers, 1000)
    assert decoded < 1.5 * 1000, "twice, if each reader decoded all"


@pytest.mark.parametrize("frames_again", [1, 32], ids=["far", "nearly there"])
async def test_a_second_reader_that_is_stuck_holds_the_first_one_up_once(work, monkeypatch, frames_again):
    """While frames for a lane that lags cannot be read again, the other lanes go on."""
    monkeypatch.setattr(Builder.__init__, "__defaults__", (16_384,))  # the other lanes are never full
    brokers, journal, running = work
    trade(journal, 0, 100)
    await until(lambda: journal.watermark == 100)
    read_again, is_stuck = journal.read_again, asyncio.Event()
    goes_on = asyncio.Event()

    async def stuck(after, through, limit):
        is_stuck.set()
        await goes_on.wait()
        return await read_again(after, through, limit)

    monkeypatch.setattr(journal, "read_again", stuck)
    monkeypatch.setattr(reading, "FRAMES_AGAIN", frames_again)
    lagging = running.lanes[partition(ISINS[0].encode(), 4)]
    lagging.fall_behind(position(98, 0))
    await asyncio.wait_for(is_stuck.wait(), 60)
    trade(journal, 100, 300)
    others = [isin for isin in ISINS if partition(isin.encode(), 4) != lagging.partition]
    await until(lambda: all(has(brokers, isin) == 300 for isin in others))
    goes_on.set()
    await until(lambda: journal.watermark == 300)
    assert_complete(brokers, 300)


async def test_an_encrypted_frame_waits_for_its_key(work, monkeypatch):
    """A new encrypted frame waits a bounded time for its key, and is then a dead letter."""
    monkeypatch.setattr(reading, "KEY_WAIT_SECONDS", 0.3)
    brokers, journal, _ = work
    journal.append(frame(raw=b"1|H0BJCNT0|001|abc"))
    trade(journal, 0, 1)
    await until(lambda: journal.watermark == 2)
    (letter,) = brokers.logs[DEAD_LETTERS, 0]
    assert letter.headers["reason"] == b"DECRYPT_NO_KEY"
    assert_complete(brokers, 1)


async def test_a_session_without_a_key_holds_up_the_others_once(work, monkeypatch):
    """While a session goes on with frames that no key opens, the ticks of others do not wait."""
    monkeypatch.setattr(reading, "KEY_WAIT_SECONDS", 2)
    brokers, journal, _ = work
    started = time.monotonic()
    for number in range(6):
        journal.append(frame(raw=b"1|H0BJCNT0|001|abc", slot=1))
        trade(journal, number, number + 1)
        await until(lambda count=number + 1: has(brokers, ISINS[0]) == count)
    assert 2 <= time.monotonic() - started < 10
    await until(lambda: journal.watermark == 12)
    assert len(brokers.logs[DEAD_LETTERS, 0]) == 6


async def test_a_clock_set_back_holds_up_encrypted_frames_once(work, monkeypatch):
    """Frames that seem to come from the future wait no longer for a key than others."""
    monkeypatch.setattr(reading, "KEY_WAIT_SECONDS", 0.3)
    brokers, journal, _ = work
    ahead = frame(raw=b"1|H0BJCNT0|001|abc")
    journal.append(*[ahead._replace(received_ns=ahead.received_ns + 3600 * 10**9)] * 100)
    trade(journal, 0, 1)
    started = time.monotonic()
    await until(lambda: journal.watermark == 101)
    assert 0.3 <= time.monotonic() - started < 25
    assert_complete(brokers, 1)
    assert len(brokers.logs[DEAD_LETTERS, 0]) == 100


@pytest.mark.parametrize("is_behind", [False, True])
async def test_a_turn_is_bounded_in_bytes(work, monkeypatch, is_behind):
    """Both readers decode large frames a few at a time, so that other tasks get a turn."""
    brokers, journal, running = work
    monkeypatch.setattr(reading, "FRAMES_A_TURN", 256)
    monkeypatch.setattr(reading, "FRAMES_AGAIN", 1024)
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
        running._reading.read_through += len(many)
        for each in running.lanes:
            each.fall_behind(position(2, 0))
    others_turn = asyncio.create_task(others())
    journal.append(*many)
    await until(lambda: has(brokers, ISINS[0]) == 1 + 80 * 50, 30)
    others_turn.cancel()
    assert most == 3
    assert volumes(brokers)[ISINS[0]] == list(range(80 * 50 + 1))


class OpenLane:
    """A lane that takes all frames; `behind_from` is set if it lags."""

    is_open, is_full = True, False

    def __init__(self, behind_from):
        self.behind_from = behind_from

    @property
    def can_catch_up(self):
        """Whether it lags."""
        return self.behind_from is not None

    def catch_up(self, behind_from):
        """Lag for ever."""
        self.behind_from = behind_from or self.behind_from


async def test_the_two_readers_take_turns():
    """While a lane is nearly there, one turn of the loop decodes for one reader alone."""
    placed_in = [[]]  # by turn of the loop, how many arguments each call had: those for a lane that lags have more

    async def soon(after, *_):
        for _ in range(len(placed_in) % 3):
            await asyncio.sleep(0)
        return Block(after + 1, [frame(record())])

    lanes = [OpenLane(None), OpenLane(position(1, 0))]
    journal = SimpleNamespace(watermark=100, last_seq=100, read=soon, read_again=soon)
    sorter = SimpleNamespace(place=lambda *arguments: placed_in[-1].append(len(arguments)))
    reader = Reading(journal, sorter, lambda: None)
    readers = [
        asyncio.create_task(reader.read_on(lanes, asyncio.Event())),
        asyncio.create_task(reader.read_again(lanes)),
    ]
    while len(placed_in) < 500:
        await asyncio.sleep(0)
        placed_in.append([])
    assert not any(task.done() for task in readers)
    for task in readers:
        task.cancel()
    assert {len(each) for each in placed_in} == {0, 1}
    assert {each[0] for each in placed_in if each} == {2, 3}


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
        async with asyncio.timeout(30):
            await running.drained(5)
        assert volumes(brokers)[ISINS[0]] == [0, 1, 2]
        assert (journal.finished, journal.pending, journal.lost) == (3, 0, {"corrupt": 2})
    finally:
        task.cancel()
        await asyncio.wait([task])
        await journal.close()
