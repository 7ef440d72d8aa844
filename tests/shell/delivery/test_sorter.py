"""Records go to the lane of their key; a lane that is behind gets them only when served."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from connector.core.ticks.avro import TickSchema, decode
from connector.core.ticks.dead_letter import HIDDEN
from connector.core.ticks.partition import partition
from connector.logs import hide
from connector.packaged_files import bond_tick
from connector.shell.delivery.counts import Counts
from connector.shell.delivery.lane import Lane
from connector.shell.delivery.position import position
from connector.shell.delivery.sorter import Sorter
from tests.core.ticks.test_frame import KEY, OTHER, encrypted
from tests.shell.delivery.fake_kafka import DEAD_LETTERS, TICKS, Builder
from tests.shell.delivery.frames import ISINS, frame, record

SCHEMA = TickSchema(bond_tick())


class Sink(Lane):
    """An open lane that only collects records."""

    def __init__(self, topic, number):
        super().__init__(topic, number)
        self._create = lambda: Builder(10**6)
        self.is_open = True

    def records(self):
        """Return the collected records with the topic of their batch."""
        batches = [*self._sealed, *([self._open] if self._open else [])]
        return [(batch.topic, record) for batch in batches for record in batch.builder.records]


def make_sorter():
    """Return a sorter with four tick lanes and one lane of dead letters."""
    counts, keys = Counts(), {}
    ticks, letters = [Sink(TICKS, number) for number in range(4)], [Sink(DEAD_LETTERS, 0)]
    one = Sorter(SCHEMA, lambda *session: keys.get(session, ()), counts)
    one.route_to(ticks, letters)
    one.ticks, one.letters, one.cipher_keys, one.counts = ticks, letters, keys, counts
    return one


@pytest.fixture
def sorter():
    """Return a new sorter."""
    return make_sorter()


def sealed(text):
    """Return an encrypted frame of one record."""
    return frame(raw=f"1|H0BJCNT0|001|{encrypted(text, KEY)}".encode())


def lane_of(sorter, isin):
    """Return the lane of a bond's ticks."""
    return sorter.ticks[partition(isin.encode(), 4)]


def test_each_record_goes_to_the_partition_of_its_key(sorter):
    """The records of one frame go to the lanes of their keys."""
    sorter.place(1, [frame(*[record(isin) for isin in ISINS])])
    for isin in ISINS:
        assert isin.encode() in {held.key for _, held in lane_of(sorter, isin).records()}
    assert sorter.counts.decoded == len(ISINS)


def test_a_lane_behind_is_passed_over_until_it_is_served(sorter):
    """A lane that is behind gets its records when it is served, and they count once."""
    lane = lane_of(sorter, ISINS[0])
    lane.fall_behind(position(1, 0))
    sorter.place(1, [frame(record(ISINS[0]))])
    assert lane.records() == []
    sorter.place(1, [frame(record(ISINS[0]))], [lane])
    assert len(lane.records()) == 1
    assert sorter.counts.decoded == 1


def test_serving_one_lane_leaves_the_others_alone(sorter):
    """Records and dead letters of lanes that are not served are ignored."""
    lane = lane_of(sorter, ISINS[0])
    other = next(isin for isin in ISINS if lane_of(sorter, isin) is not lane)
    sorter.place(1, [frame(record(ISINS[0]), record(other), record(ISINS[0], price="x"))], [lane])
    assert [len(each.records()) for each in (lane, lane_of(sorter, other), sorter.letters[0])] == [1, 0, 0]


def test_an_encrypted_frame_lacks_its_key_until_the_session_has_one(sorter):
    """An encrypted frame lacks a key until its session has one; a plain frame never does."""
    bare = sealed(record())
    assert sorter.lacks_key(bare)
    assert not sorter.lacks_key(frame(record()))
    sorter.cipher_keys[bare.slot, bare.session] = [KEY]
    assert not sorter.lacks_key(bare)


@pytest.mark.parametrize("known", [[], [OTHER]])
def test_what_no_key_opened_stays_a_dead_letter_whatever_key_comes_later(sorter, known):
    """If dead letters lag, a frame that the lanes of ticks passed without its key stays one."""
    bare, opened = sealed(record()), sealed(record(accumulated=2))
    letters, ticks = sorter.letters[0], lane_of(sorter, ISINS[0])
    letters.fall_behind(position(1, 0))
    for seq, keys in enumerate([known, [KEY, *known]], 1):
        sorter.cipher_keys[bare.slot, bare.session] = keys
        sorter.place(2 * seq - 1, [bare if seq == 1 else opened, frame(record())])
    sorter.place(1, [bare, frame(record()), opened], [letters])
    ((_, letter),) = letters.records()
    assert (letter.value, letter.headers["reason"][:8]) == (bare.raw, b"DECRYPT_")
    assert len(ticks.records()) == sorter.counts.decoded == 3
    ticks.fall_behind(position(5, 0))
    sorter.place(5, [opened])
    sorter.place(5, [opened], [ticks])
    assert len(ticks.records()) == 4


def test_sessions_whose_dead_letters_kafka_has_are_forgotten(sorter):
    """Of the sessions without a key, only those with dead letters under way are kept."""
    for number in range(1, 100):
        sorter.place(number, [sealed(record())._replace(session=number)])
        sorter.letters[0].acknowledged = position(number, 0)
    assert len(sorter._unopened) == 1


def test_records_wider_than_documented_are_counted(sorter):
    """Records with added columns are ticks, and are counted once per frame."""
    wide = frame(record() + "^new", record(ISINS[1]) + "^new")
    sorter.place(1, [wide])
    sorter.place(1, [wide])
    sorter.place(2, [frame(record())])
    assert sorter.counts.extended == 2


def test_a_record_that_is_not_utf8_is_counted_and_logged_once(sorter):
    """Records that are not UTF-8 are counted, and the first is logged; a good name makes a tick."""
    name, price = record(ISINS[1]).encode("cp949"), record(ISINS[2], price="국").encode("cp949")
    spoilt = frame(raw=b"0|H0BJCNT0|003|" + b"^".join([record(ISINS[0]).encode(), name, price]))
    with capture_logs() as logs:
        sorter.place(1, [spoilt])
        sorter.place(1, [spoilt])
        sorter.place(2, [frame(raw=b"0|H0BJCNT0|001|" + name)])
    assert [entry for entry in logs if entry["event"] == "record_not_utf8"] == [
        {"event": "record_not_utf8", "log_level": "warning", "slot": spoilt.slot, "isin": ISINS[1]}
    ]
    assert (sorter.counts.decoded, sorter.counts.not_utf8) == (4, 3)
    ((_, letter),) = sorter.letters[0].records()
    assert (dict(letter.headers)["reason"], letter.value) == (b"FIELD_NOT_UTF8", price)


def test_the_age_of_a_trade_is_counted_once(sorter):
    """A trade's age counts once, from its second to its receipt, for good records only."""
    sent = frame(record(ISINS[0]), record(ISINS[1]), record(price="x"))
    sorter.place(1, [sent])
    sorter.place(1, [sent])
    traded_ms = next(each.timestamp for lane in sorter.ticks for _, each in lane.records())
    assert sorter.counts.event_ages == {(sent.received_ns // 1_000_000 - traded_ms) // 1000: 2}


def test_the_latest_good_tick_of_each_bond_is_kept(sorter):
    """The latest good tick of each bond is kept; a frame read again does not replace it."""
    first, second = frame(record(ISINS[0], accumulated=1), record(ISINS[1])), frame(record(ISINS[0], accumulated=2))
    sorter.place(1, [first])
    sorter.place(2, [second])
    sorter.place(3, [frame(record(ISINS[0], price="1e9"))])
    sorter.place(1, [first], [lane_of(sorter, ISINS[0])])
    assert latest_of(sorter) == {
        ISINS[0]: (second.received_ns, record(ISINS[0], accumulated=2).encode()),
        ISINS[1]: (first.received_ns, record(ISINS[1]).encode()),
    }


def latest_of(sorter):
    """Return the receive time and the record of each bond's latest good tick."""
    return {isin: (bond.received_ns, bond.raw) for isin, bond in sorter._bonds.items() if bond.raw}


GOOD = [frame(record(isin, accumulated=number)) for number, isin in enumerate(ISINS)]
MANY = frame(*[record(isin, accumulated=10**number) for number, isin in enumerate(ISINS)])
SPECIAL = [
    MANY,
    frame(record() + "^new"),
    frame(record(ISINS[1]) + "^new", record(ISINS[2]) + "^new"),
    frame(record(price="x")),
    frame(record(), record(price="x"), record(ISINS[3])),
    frame(raw=b"0|H0BJCNT0|001|" + record(ISINS[1]).encode("cp949")),
    frame(raw=b"1|H0BJCNT0|001|abc"),
    frame(raw=b"0|H0BJCNT0|002|" + record().encode()),
    frame(record())._replace(binary=True),
    frame(record())._replace(received_ns=GOOD[0].received_ns + 86_400 * 10**9),
    frame(record(), slot=3),
]


@given(
    frames=st.lists(st.sampled_from(GOOD) | st.sampled_from(SPECIAL), max_size=30),
    again=st.integers(0, 30),
)
def test_a_run_places_what_its_frames_place_one_by_one(frames, again):
    """A run gives every lane, count and latest tick what its frames give one by one."""
    one, other = make_sorter(), make_sorter()
    for each in (one, other):
        each.request(frozenset(ISINS[:5]))
        each.counted_through = again
        lane_of(each, ISINS[2]).fall_behind(position(1, 0))
    one.place(1, frames)
    for seq, each in enumerate(frames, 1):
        other._place_frame(seq, each, None)
    for of_one, of_other in zip(one.ticks + one.letters, other.ticks + other.letters, strict=True):
        assert of_one.records() == of_other.records()
        batches = [[*lane._sealed, lane._open] for lane in (of_one, of_other)]
        batches = [[(batch.first, batch.last, batch.received_ns) for batch in some if batch] for some in batches]
        assert batches[0] == batches[1]
    one.counts.latencies, one.counts.decode_bugs = other.counts.latencies, other.counts.decode_bugs  # of no concern
    assert one.counts == other.counts
    assert (latest_of(one), one.counted_through) == (latest_of(other), other.counted_through)


def test_one_bad_frame_among_many_does_not_slow_the_others(sorter, monkeypatch):
    """Frames near a bad one are read one by one, all others as runs."""
    by_one = []
    place_frame = sorter._place_frame
    monkeypatch.setattr(
        sorter, "_place_frame", lambda seq, each, serving: by_one.append(seq) or place_frame(seq, each, serving)
    )
    frames = [frame(record(accumulated=number)) for number in range(256)]
    frames[100] = frame(record(price="x"))
    sorter.place(1, frames)
    assert 101 in by_one
    assert len(by_one) <= 8
    assert sorter.counts.decoded == 256


def broken(sorter, monkeypatch, *isins):
    """Let the encoder raise for these bonds, one by one and in a run."""
    encode = sorter._encoder.encode

    def raising(wire, origin):
        if wire.columns[0] in isins:
            raise IndexError("secret")
        return encode(wire, origin)

    monkeypatch.setattr(sorter._encoder, "encode", raising)
    monkeypatch.setattr(sorter._encoder, "encode_run", lambda *_: None)


def test_a_frame_that_trips_a_bug_is_a_dead_letter(sorter, monkeypatch):
    """A frame for which decoding raises is a dead letter as a whole, and the others are ticks."""
    broken(sorter, monkeypatch, ISINS[1])
    frames = [frame(record()), frame(record(), record(ISINS[1])), frame(record(ISINS[2]))]
    with capture_logs() as logs:
        sorter.place(1, frames)
    ((_, letter),) = sorter.letters[0].records()
    assert (letter.key, letter.value, letter.headers["reason"]) == (None, frames[1].raw, b"BUG")
    assert (b"IndexError" in letter.headers["detail"], b"secret" in letter.headers["detail"]) == (True, False)
    (entry,) = [each for each in logs if each["event"] == "frame_tripped_bug"]
    assert (entry["frame"], entry["slot"], "IndexError: secret" in entry["error"]) == (2, 0, True)
    assert sum([len(lane.records()) for lane in sorter.ticks]) == sorter.counts.decoded == 2


@pytest.mark.parametrize("step", ["split", "encode"])
def test_a_run_that_trips_a_bug_is_read_frame_by_frame(sorter, monkeypatch, step):
    """If only decoding a run raises, every frame becomes its tick, and the log says what raised."""
    if step == "split":
        monkeypatch.setattr("connector.shell.delivery.sorter.split_run", raise_key_error)
    else:
        monkeypatch.setattr(sorter._encoder, "encode_run", raise_key_error)
    with capture_logs() as logs:
        sorter.place(1, [frame(record(ISINS[number % 8])) for number in range(32)])
    assert sum([len(lane.records()) for lane in sorter.ticks]) == sorter.counts.decoded == 32
    assert sorter.letters[0].records() == []
    entry = next(each for each in logs if each["event"] == "run_tripped_bug")
    assert (entry["frames"], "KeyError: 'odd'" in entry["error"]) == (32, True)


@pytest.mark.parametrize("step", ["encode", "encode_run"])
def test_no_memory_is_no_bug(sorter, monkeypatch, step):
    """A MemoryError is raised at once, because it says nothing about the frames."""
    monkeypatch.setattr(sorter._encoder, "encode_run", lambda *_: None)
    monkeypatch.setattr(sorter._encoder, step, raise_memory_error)
    with pytest.raises(MemoryError):
        sorter.place(1, [frame(record()) for _ in range(32)])
    assert sorter.letters[0].records() == []


def test_a_dead_letter_shows_no_secret(sorter):
    """A secret that this process knows is hidden in a frame and in a record that are no ticks."""
    hide(secret := "sorter-canary-5f1c")
    sorter.place(1, [frame(raw=secret.encode()), frame(record(price=secret))])
    values = [letter.value for _, letter in sorter.letters[0].records()]
    assert values == [HIDDEN, record(price=HIDDEN.decode()).encode()]


def test_a_bug_that_many_frames_trip_holds_delivery(sorter, monkeypatch):
    """After twenty such frames in a row, the next raises, again at each try; a good one ends it."""
    broken(sorter, monkeypatch, ISINS[1])
    bad = [frame(record(ISINS[1])) for _ in range(25)]
    for _ in range(2):
        with pytest.raises(IndexError):
            sorter.place(1, bad)
    assert len(sorter.letters[0].records()) == 20
    assert sorter.holds == "frame 21, and too many before it: decoding raised IndexError"
    monkeypatch.undo()
    sorter.place(21, bad[20:])
    assert sorter.counts.decoded == 5
    assert sorter.holds is None


def raise_memory_error(*_):
    """Raise."""
    raise MemoryError


def raise_key_error(*_):
    """Raise."""
    raise KeyError("odd")


def test_without_lanes_of_dead_letters_they_are_counted_once(sorter):
    """Without lanes of dead letters, each of them is counted, and once if it is read again."""
    alone = Sorter(SCHEMA, lambda *_: (), sorter.counts)
    alone.route_to(sorter.ticks, [])
    frames = [frame(record(), record(price="x")), frame(raw=b"0|H0BJCNT0|001|short")]
    alone.place(1, frames)
    alone.place(1, frames, sorter.ticks)
    assert sorter.counts.dead_letters == {"FIELD_NUMBER": 1, "FRAME_ARITY": 1}
    assert sorter.counts.decoded == 2
    assert lane_of(sorter, ISINS[0]).records()


def test_every_tick_has_the_sorters_source():
    """Ticks read one by one and ticks of a run have the source that the sorter was given."""
    ticks = [Sink(TICKS, 0)]
    replaying = Sorter(SCHEMA, lambda *_: (), Counts(), "replay")
    replaying.route_to(ticks, [])
    replaying.place(1, [frame(record())])
    replaying.place(2, [frame(record()) for _ in range(20)])
    assert [decode(one.value, SCHEMA)["source"] for _, one in ticks[0].records()] == ["replay"] * 21
