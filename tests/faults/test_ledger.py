"""The ledger finds missing, repeated and disordered ticks: a rig must be able to fail."""

import time
from dataclasses import replace

import pytest

from connector.core.ticks.avro import TickEncoder
from connector.core.ticks.frame import WireRecord
from simulator.sent_log import Sent, SentRecord
from tests.faults.ledger import SCHEMA, Watched, balance, broken_laws
from tests.kafka.reader import Record
from tests.shell.delivery.frames import ISINS, record

ENCODER = TickEncoder(SCHEMA, SCHEMA.single_object_prefix)


def sent(text):
    """Return the exchange's log entry of one tick."""
    return Sent(time.time_ns(), 0, 1, "ticks", (SentRecord(ISINS[0], text),))


def read(text):
    """Return the Kafka record of one tick."""
    isin, timestamp_ms, value = ENCODER.encode(
        WireRecord(text.split("^"), text), ENCODER.origin(time.time_ns() // 1_000_000)
    )
    return Record(0, 0, isin.encode(), value, timestamp_ms, ())


TEXTS = [record(ISINS[0], accumulated=number) for number in range(5)]


def ledger(ticks, *, received=5, pending=0, lost=0, letters=(), acknowledged=5, processes=1, log=()):
    """Return the ledger of five ticks sent and these read back; `log`: further messages sent."""
    status = {
        "frames": {"received": received, "pending": pending, "lost": {"disk": lost}},
        "ticks": {"decoded": 5, "acknowledged": acknowledged},
        "delivery": {"producer_rebuilds": 0},
    }
    watched = Watched({0: 1.5, 1: 0.2}, processes=processes)
    return balance([*map(sent, TEXTS), *log], ticks, letters, status, watched, connects=1, stall_seconds=0, exit_code=0)


def test_a_clean_run_balances():
    """If everything sent is read once and in order, nothing is missing."""
    found = ledger([read(text) for text in TEXTS])
    assert (
        found.sent,
        found.delivered,
        found.lost,
        found.missed,
        found.duplicates,
        found.inversions,
        found.unknown,
    ) == (
        5,
        5,
        0,
        0,
        0,
        0,
        0,
    )
    assert found.longest_gap_seconds == 1.5


def test_a_missing_tick_is_lost():
    """A tick that was received and is nowhere is lost."""
    assert ledger([read(text) for text in TEXTS[:4]]).lost == 1


@pytest.mark.parametrize(
    ("kept", "figures"), [({"pending": 1}, 0), ({"lost": 1}, 0), ({"letters": ("one",)}, 0), ({"received": 4}, 0)]
)
def test_what_is_accounted_for_is_not_lost(kept, figures):
    """A frame that is pending, counted, dead-lettered or not received is not lost."""
    assert ledger([read(text) for text in TEXTS[:4]], **kept).lost == figures


def test_what_was_not_received_is_missed():
    """A tick that was sent but not received is missed."""
    assert ledger([read(text) for text in TEXTS[:4]], received=4).missed == 1


def test_a_repeated_tick_is_a_duplicate_and_no_inversion():
    """A repeated batch gives duplicates; the first copies are still in order."""
    found = ledger([read(TEXTS[number]) for number in (0, 1, 2, 1, 2, 3, 4)])
    assert (found.duplicates, found.inversions, found.lost) == (2, 0, 0)


def test_first_copies_out_of_order_are_an_inversion():
    """A tick after a later one is an inversion."""
    assert ledger([read(TEXTS[number]) for number in (0, 2, 1, 3, 4)]).inversions == 1


def test_a_bond_in_two_partitions_is_found():
    """Its ticks are in order by partition, and it counts as split."""
    found = ledger([replace(read(text), partition=int(number > 2)) for number, text in enumerate(TEXTS)])
    assert (found.inversions, found.split_bonds) == (0, 1)
    assert ledger([read(text) for text in TEXTS]).split_bonds == 0


def test_a_tick_nobody_sent_is_unknown():
    """A tick that nobody sent is unknown, and does not hide a loss."""
    found = ledger([*(read(text) for text in TEXTS[:4]), read(record(ISINS[0], accumulated=99))])
    assert (found.unknown, found.lost) == (1, 1)


def test_a_data_frame_sent_by_hand_counts_as_sent():
    """Any data frame counts as sent, and a PINGPONG does not."""
    by_hand = [Sent(0, 0, 1, "raw", raw=raw) for raw in (b"0|H0BJCNT0|001|x", b'{"header":{"tr_id":"PINGPONG"}}')]
    assert ledger([read(text) for text in TEXTS], received=6, log=by_hand).missed == 0


def test_an_acknowledged_tick_nobody_can_read_is_found():
    """An acknowledged tick that cannot be read back is found."""
    assert ledger([read(text) for text in TEXTS]).not_read_back == 0
    assert ledger([read(text) for text in TEXTS[:4]], pending=1).not_read_back == 1


def test_after_a_restart_acknowledged_ticks_are_at_most_those_read_back():
    """After a restart, the last process's acknowledged ticks are a lower bound."""
    twice = [read(text) for text in (*TEXTS, *TEXTS[3:])]
    assert ledger(twice, acknowledged=2, processes=2).not_read_back == 0
    assert ledger(twice, acknowledged=7, processes=2).not_read_back == 0
    assert ledger(twice, acknowledged=8, processes=2).not_read_back == 1


def test_a_journalled_frame_that_was_never_decoded_is_found():
    """A journalled frame that was never decoded is found."""
    assert ledger([read(text) for text in TEXTS]).not_decoded == 0
    assert ledger([read(text) for text in TEXTS], received=6).not_decoded == 1
    assert ledger([read(text) for text in TEXTS], received=6, lost=1).not_decoded == 0


def test_as_json_has_every_figure_at_one_level():
    """The JSON of a ledger is flat and has the sampled figures."""
    figures = ledger([read(text) for text in TEXTS]).as_json()
    assert "watched" not in figures
    assert (figures["sent"], figures["gaps"], figures["longest_gap_seconds"]) == (5, {0: 1.5, 1: 0.2}, 1.5)


def status(*, frames=(10, 6, 4), ticks=(9, 6, 2), letters=None, lanes=(4, 3)):
    """Return a /status with these counts of frames, ticks and records by lane."""
    return {
        "frames": dict(zip(("received", "finished", "pending"), frames, strict=True)) | {"lost": {}},
        "ticks": dict(zip(("decoded", "acknowledged", "in_flight"), ticks, strict=True))
        | {"dead_letters": {"FIELD_TIME": 1} if letters is None else letters},
        "delivery": {"lanes": [{"acknowledged": count} for count in lanes]},
    }


def test_a_status_that_adds_up_breaks_no_law():
    """A consistent status breaks no law, even with a dead letter in a lane."""
    assert broken_laws(status(), 10) == []


@pytest.mark.parametrize(
    ("figures", "law"),
    [
        (status(frames=(10, 5, 4)), "received = finished"),
        (status(ticks=(9, 6, 3)), "decoded = acknowledged"),
        (status(lanes=(4, 2)), "records acknowledged by lanes"),
        (status(frames=(10, 9, 1)), "in flight ≤ pending"),
        (status(ticks=(6, 6, -1)), "in flight ≤ pending"),
        (status(frames=(11, 7, 4)), "the exchange wrote"),
    ],
)
def test_a_law_that_is_broken_is_named(figures, law):
    """One wrong figure breaks a law, which is named."""
    assert [one for one in broken_laws(figures, 10) if law in one.partition(":")[0]]
