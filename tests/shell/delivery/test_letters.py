"""A dead letter always has a way on: another form, another time, or a counted loss."""

import asyncio
import time

import pytest
from aiokafka.errors import InvalidTimestampError, PolicyViolationError, TopicAuthorizationFailedError

from connector.core.ticks.avro import TickEncoder
from connector.shell.delivery import letters
from connector.shell.delivery.batch import Record
from connector.shell.delivery.letters import Letters
from connector.shell.delivery.refusals import InvalidRecordError, MessageSizeTooLargeError, marked
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS, Builder
from tests.shell.delivery.frames import ISINS, frame, record
from tests.shell.delivery.work import assert_complete, has, trade, until


@pytest.fixture(autouse=True)
def _short_times(monkeypatch):
    monkeypatch.setattr(letters, "AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(letters, "REFUSED_SECONDS", 0.5)


@pytest.mark.parametrize("names", [True, False])
async def test_a_compacted_topic_gets_letters_with_keys(work, names):
    """A letter without a key gets one of its own, and the ticks and the watermark go on."""
    brokers, journal, running = work
    brokers.names_records = names
    brokers.judge = lambda topic, one: InvalidRecordError() if topic == DEAD_LETTERS and one.key is None else None
    first, second = frame(raw=b"9|nonsense"), frame(raw=b"8|nonsense", slot=2)
    journal.append(first, second)
    trade(journal, 0, 20)
    await until(lambda: journal.watermark == 22)
    held = {one.key: one.value for one in brokers.logs[DEAD_LETTERS, 0]}
    assert held == {
        b"slot/0/%d/0" % first.received_ns: b"9|nonsense",
        b"slot/2/%d/0" % second.received_ns: b"8|nonsense",
    }
    assert_complete(brokers, 20)
    assert running.counts.rebuilds == 0


async def test_the_letters_of_one_frame_get_different_keys(work):
    """A compacted topic keeps each bad record of a frame, also if none has a readable ISIN."""
    brokers, journal, _ = work
    brokers.judge = lambda topic, one: InvalidRecordError() if topic == DEAD_LETTERS and one.key is None else None
    bad = frame(record("no ISIN", price="1"), record(ISINS[0]), record("no ISIN", price="2"))
    journal.append(bad)
    await until(lambda: journal.watermark == 1)
    keys = [one.key for one in brokers.logs[DEAD_LETTERS, 0]]
    assert keys == [b"slot/0/%d/%d" % (bad.received_ns, index) for index in (0, 2)]


async def test_a_letter_too_large_is_shortened_until_it_fits(work):
    """A letter that is too large keeps its beginning, and says how long it was."""
    brokers, journal, running = work
    brokers.judge = lambda topic, one: (
        MessageSizeTooLargeError() if topic == DEAD_LETTERS and len(one.value) > 5000 else None
    )
    whole = b"0|H0BJCNT0|001|" + b"x" * 20_000
    journal.append(frame(raw=whole))
    await until(lambda: journal.watermark == 1)
    (letter,) = brokers.logs[DEAD_LETTERS, 0]
    assert letter.value == whole[:1024]
    assert letter.headers["detail"] == b"first 1024 of 20015 bytes, the journal keeps frame 1 whole"
    assert running.counts.dead_letters == {"FRAME_ARITY": 1}


async def test_a_letter_refused_in_every_form_for_a_minute_is_a_counted_loss(work, monkeypatch):
    """The watermark passes a letter that Kafka never takes, and its frame is counted as lost."""
    monkeypatch.setattr(letters, "REFUSED_SECONDS", 3)
    brokers, journal, running = work
    brokers.judge = lambda topic, one: PolicyViolationError() if topic == DEAD_LETTERS else None
    bad = frame(record(ISINS[0], price="x"), record(ISINS[1], price="y"), record(ISINS[0], accumulated=0))
    journal.append(bad)
    started = time.monotonic()
    await until(lambda: has(brokers, ISINS[0]) == 1)
    assert journal.lost == []
    await until(lambda: journal.watermark == 1)
    assert time.monotonic() - started >= 3
    assert journal.lost == [bad], "once, though two letters were refused"
    assert brokers.logs[DEAD_LETTERS, 0] == []
    counts = running.counts
    assert (counts.decoded, counts.acknowledged, counts.in_flight) == (3, 1, 0)
    assert counts.dead_letters == {"FIELD_NUMBER": 2}


async def test_a_letter_refused_for_a_while_arrives_whole(work, monkeypatch):
    """If Kafka takes letters again within the minute, they arrive as they were."""
    monkeypatch.setattr(letters, "REFUSED_SECONDS", 30)
    brokers, journal, _ = work
    brokers.judge = lambda topic, one: PolicyViolationError() if topic == DEAD_LETTERS else None
    whole = b"0|H0BJCNT0|001|" + b"x" * 20_000
    journal.append(*[frame(raw=whole) for _ in range(50)])
    await until(lambda: brokers.batches_refused > 10)
    brokers.judge = lambda topic, one: None
    await until(lambda: journal.watermark == 50)
    values = [one.value for one in brokers.logs[DEAD_LETTERS, 0]]
    assert len(values) == 50
    assert values.count(whole) >= 49, "one may be on its way in a shorter form"
    assert journal.lost == []


@pytest.mark.parametrize("trouble", ["missing", "leaderless", "forbidden"])
@pytest.mark.usefixtures("impatient")
async def test_a_dead_letter_topic_out_of_reach_makes_only_letters_wait(work, trouble):
    """Letters of bad and of refused ticks wait; other ticks go on, and nothing is lost."""
    brokers, journal, running = work
    place = DEAD_LETTERS, 0
    if trouble == "missing":
        leader = brokers.leads.pop(place)
    elif trouble == "leaderless":
        leader, brokers.leads[place] = brokers.leads[place], None
    else:
        leader = brokers.leads[place]
        brokers.refuses = lambda topic, _: TopicAuthorizationFailedError("no") if topic == DEAD_LETTERS else None
    journal.append(frame(raw=b"9|nonsense"))
    trade(journal, 0, 200)
    brokers.judge = lambda topic, one: InvalidRecordError() if topic == TICKS and one.key == ISINS[7].encode() else None
    await until(lambda: all(has(brokers, isin) >= 200 for isin in ISINS[:7]), 30)
    assert journal.watermark == 0
    await until(lambda: running.waiting_for is not None)
    if trouble == "missing":
        await until(lambda: DEAD_LETTERS in (running.missing_topic or ""))
    await asyncio.sleep(0.6)  # longer than REFUSED_SECONDS: this is no refusal
    assert journal.lost == []
    brokers.leads[place] = leader
    brokers.refuses = lambda topic, _: None
    await until(lambda: journal.watermark == 201, 30)
    assert {one.value for one in brokers.logs[place]} == {b"9|nonsense"} | {
        record(ISINS[7], accumulated=number).encode() for number in range(200)
    }
    assert running.missing_topic is None


async def test_one_frame_that_trips_a_bug_never_holds_delivery(work, monkeypatch):
    """While Kafka forbids its dead letter, the frame is read again and again, and ticks go on."""
    brokers, journal, running = work
    refused = 0

    def refuse(topic, _):
        nonlocal refused
        refused += topic == DEAD_LETTERS
        return TopicAuthorizationFailedError("no") if topic == DEAD_LETTERS else None

    brokers.refuses = refuse
    encode = TickEncoder.encode
    monkeypatch.setattr(TickEncoder, "encode", lambda *wire: 1 // 0 if wire[1].columns[0] == "odd" else encode(*wire))
    journal.append(frame(record("odd")))
    await until(lambda: refused > 25)
    trade(journal, 0, 20)
    await until(lambda: all(has(brokers, isin) == 20 for isin in ISINS), 20)
    assert running.counts.dead_letters == {}
    brokers.refuses = lambda topic, _: None
    await until(lambda: journal.watermark == 21)
    assert running.counts.dead_letters == {"BUG": 1}


async def test_a_clock_ahead_keeps_no_letter_back(work):
    """A letter with a stamp too far ahead is sent with none, if the present is too far as well."""
    brokers, journal, _ = work
    brokers.judge = lambda topic, one: (
        InvalidTimestampError() if one.timestamp > 10**12 and topic == DEAD_LETTERS else None
    )
    journal.append(frame(raw=b"9|nonsense"))
    trade(journal, 0, 5)
    await until(lambda: journal.watermark == 6)
    assert [(one.timestamp, one.key) for one in brokers.logs[DEAD_LETTERS, 0]] == [(-1, None)]
    assert_complete(brokers, 5)


@pytest.mark.parametrize("names", [True, False])
async def test_every_tick_refused_is_a_letter_and_costs_no_producer(work, names):
    """While Kafka refuses all ticks, each is a dead letter, once; then ticks go on in order."""
    brokers, journal, running = work
    brokers.names_records = names
    brokers.judge = lambda topic, one: InvalidRecordError() if topic == TICKS else None
    trade(journal, 0, 50)
    await until(lambda: journal.watermark == 50)
    assert len(brokers.logs[DEAD_LETTERS, 0]) == 400
    brokers.judge = lambda topic, one: None
    trade(journal, 50, 100)
    await until(lambda: journal.watermark == 100)
    assert all(has(brokers, isin) == 50 for isin in ISINS)
    assert (running.counts.rebuilds, len(brokers.logs[DEAD_LETTERS, 0])) == (0, 400)
    assert running.counts.in_flight == 0


class Owner:
    """Notes what was settled."""

    def __init__(self):
        self.settled = []

    def settle(self, position):
        """Note a position."""
        self.settled.append(position)


def letter(number, value=b"x"):
    """Return the record of a dead letter."""
    return Record(number << 10, number, number, b"k", value, [("slot", b"0"), ("detail", b"")], "FIELD_TIME")


async def refuse(waiting, now):
    """Refuse every form of the letters that are due; return how many were sent."""
    sent = 0
    while batch := waiting.next_batch(now, lambda: Builder(10**6), "t", 0):
        sent += len(batch.letters)
        error = marked(PolicyViolationError(), range(len(batch.letters)), is_certain=True)
        await waiting.refused(batch.letters, error, now, 0)
    return sent


@pytest.fixture
def given_up():
    """Return the numbers of the letters that were given up."""
    return []


@pytest.fixture
def waiting(monkeypatch, given_up):
    """Return letters that have a minute."""
    monkeypatch.setattr(letters, "REFUSED_SECONDS", 60.0)
    monkeypatch.setattr(letters, "AGAIN_SECONDS", 2.0)

    async def give_up(letter):
        given_up.append(letter.whole.received_ns)

    return Letters(give_up)


async def test_all_refused_letters_have_one_minute_together(waiting, given_up):
    """While Kafka takes no letter, one that comes after a minute has one try in every form."""
    for number in (1, 2):
        waiting.add(Owner(), letter(number))
        await refuse(waiting, 50.0 * number)
        assert given_up == []
    await refuse(waiting, 110.0)
    assert given_up == [1, 2]
    waiting.add(Owner(), letter(3, b"x" * 2000))
    assert await refuse(waiting, 111.0) > 1, "every form is sent"
    assert given_up == [1, 2, 3]


def acknowledge(waiting, number, now):
    """Add a letter and have Kafka take it, and no other."""
    waiting.add(Owner(), letter(number))
    batch = waiting.next_batch(now, lambda: Builder(10**6), "t", 0)
    waiting.acknowledged([one for one in batch.letters if one.whole.received_ns == number])


async def test_a_letter_that_kafka_takes_begins_a_minute_for_those_refused_later(waiting, given_up):
    """It begins no other minute for a letter that Kafka refuses all the time."""
    waiting.add(Owner(), letter(1))
    for now in range(50, 110, 5):
        await refuse(waiting, now)
        acknowledge(waiting, now, now)
    assert given_up == []
    await refuse(waiting, 110.0)
    assert given_up == [1], "a minute after it was refused first"
    acknowledge(waiting, 2, 111.0)
    waiting.add(Owner(), letter(3))
    await refuse(waiting, 112.0)
    await refuse(waiting, 171.9)
    assert given_up == [1]
    await refuse(waiting, 172.0)
    assert given_up == [1, 3]


async def test_letters_that_kafka_takes_in_order_count_as_taken(waiting, given_up):
    """While letters of the partition pass in their order, a refused one has its whole minute."""
    waiting.add(Owner(), letter(1))
    for now in (0.0, 59.0):
        await refuse(waiting, now)
    waiting.note_taken()
    waiting.add(Owner(), letter(2))
    await refuse(waiting, 60.0)
    assert given_up == [1]
    await refuse(waiting, 119.9)
    assert given_up == [1]
    await refuse(waiting, 120.0)
    assert given_up == [1, 2]


async def test_a_refusal_long_ago_takes_nothing_from_a_letter(waiting, given_up):
    """If no letter came for a minute, the next one has its own, though Kafka took none between."""
    waiting.add(Owner(), letter(1))
    await refuse(waiting, 0.0)
    await refuse(waiting, 60.0)
    assert given_up == [1]
    waiting.add(Owner(), letter(2))
    await refuse(waiting, 120.1)
    await refuse(waiting, 180.0)
    assert given_up == [1]
    await refuse(waiting, 180.1)
    assert given_up == [1, 2]


async def test_the_waiting_letters_are_bounded():
    """Above a number of letters, or of bytes, there is no room until some have left."""
    waiting, owner = Letters(None), Owner()
    for number in range(letters.LETTERS):
        assert not waiting.is_full
        waiting.add(owner, letter(number))
    assert waiting.is_full
    batch = waiting.next_batch(0.0, lambda: Builder(10), "t", 0)
    assert len(batch.letters) == 10
    waiting.acknowledged(batch.letters)
    assert not waiting.is_full
    assert owner.settled == [number << 10 for number in range(10)]
    waiting.add(owner, letter(5000, b"x" * letters.BYTES))
    assert waiting.is_full


async def test_letters_without_a_stamp_go_apart_from_those_with_one():
    """A letter that needs no stamp to be taken gets none from a later letter."""
    waiting, owner = Letters(None), Owner()
    waiting.add(owner, letter(1))
    for _ in range(3):  # the receive time, the present, and no stamp
        batch = waiting.next_batch(0.0, lambda: Builder(10**6), "t", 0)
        await waiting.refused(batch.letters, marked(InvalidTimestampError(), [0], is_certain=True), 0.0, 9)
    waiting.add(owner, letter(2))
    first = waiting.next_batch(0.0, lambda: Builder(10**6), "t", 0)
    waiting.acknowledged(first.letters)
    second = waiting.next_batch(0.0, lambda: Builder(10**6), "t", 0)
    assert [[one.timestamp_ms for one in batch.records()] for batch in (first, second)] == [[-1], [2]]


async def test_a_letter_that_is_refused_leaves_the_others_in_their_form():
    """Only the letters that the broker names change."""
    waiting, owner = Letters(None), Owner()
    for number in range(3):
        waiting.add(owner, letter(number, b"x" * 2000))
    batch = waiting.next_batch(0.0, lambda: Builder(10**6), "t", 0)
    await waiting.refused(batch.letters, marked(InvalidRecordError(), [1], is_certain=True), 0.0, 0)
    batch = waiting.next_batch(0.0, lambda: Builder(10**6), "t", 0)
    assert [len(one.value) for one in batch.records()] == [2000, 1024, 2000]


async def test_a_broker_that_names_no_letter_is_asked_about_half_of_them():
    """Each refusal halves the next batch, and each acknowledgement doubles it."""
    waiting, owner, sizes = Letters(None), Owner(), []
    for number in range(16):
        waiting.add(owner, letter(number))
    for is_refused in (True, True, False, False):
        batch = waiting.next_batch(0.0, lambda: Builder(10**6), "t", 0)
        sizes.append(len(batch.letters))
        if is_refused:
            await waiting.refused(batch.letters, marked(InvalidRecordError(), [], is_certain=True), 0.0, 0)
        else:
            waiting.acknowledged(batch.letters)
    assert sizes == [16, 8, 4, 8]
