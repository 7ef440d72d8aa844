"""The ledger finds what is missing, repeated and out of order: a rig that cannot fail shows nothing."""

import time

import pytest

from connector.core.avro import TickEncoder
from connector.core.frame import WireRecord
from simulator.sent_log import Sent, SentRecord
from tests.faults.ledger import SCHEMA, Watched, balance
from tests.kafka.reader import Record
from tests.shell.delivery.frames import ISINS, record

ENCODER = TickEncoder(SCHEMA, SCHEMA.single_object_prefix)


def sent(text):
    """Return the exchange's note of one tick."""
    return Sent(time.time_ns(), 0, 1, "ticks", (SentRecord(ISINS[0], text),))


def read(text):
    """Return the Kafka record of one tick."""
    isin, timestamp_ms, value = ENCODER.encode(WireRecord(text.split("^"), text), ENCODER.origin(time.time_ns() // 1_000_000))
    return Record(0, 0, isin.encode(), value, timestamp_ms, ())


TEXTS = [record(ISINS[0], accumulated=number) for number in range(5)]


def ledger(ticks, *, received=5, pending=0, lost=0, letters=()):
    """Return the ledger of five ticks sent and these read back."""
    status = {"frames": {"received": received, "pending": pending, "lost": {"disk": lost}}, "delivery": {"producer_rebuilds": 0}}
    return balance(
        [sent(text) for text in TEXTS], ticks, letters, status, Watched({0: 1.5, 1: 0.2}), connects=1, stall_seconds=0, exit_code=0
    )


def test_a_clean_run_balances():
    """Everything sent is read once, in order."""
    found = ledger([read(text) for text in TEXTS])
    assert (found.sent, found.delivered, found.lost, found.missed, found.duplicates, found.inversions, found.unknown) == (
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
    """Received and nowhere: L is 1."""
    assert ledger([read(text) for text in TEXTS[:4]]).lost == 1


@pytest.mark.parametrize(("kept", "figures"), [({"pending": 1}, 0), ({"lost": 1}, 0), ({"letters": ("one",)}, 0), ({"received": 4}, 0)])
def test_what_is_accounted_for_is_not_lost(kept, figures):
    """A frame pending, counted as lost, dead-lettered or never received is no silent loss."""
    assert ledger([read(text) for text in TEXTS[:4]], **kept).lost == figures


def test_what_was_not_received_is_missed():
    """Sent and not received: M is 1."""
    assert ledger([read(text) for text in TEXTS[:4]], received=4).missed == 1


def test_a_repeated_tick_is_a_duplicate_and_no_inversion():
    """A replay from the head of a batch repeats; first copies stay in order."""
    found = ledger([read(TEXTS[number]) for number in (0, 1, 2, 1, 2, 3, 4)])
    assert (found.duplicates, found.inversions, found.lost) == (2, 0, 0)


def test_first_copies_out_of_order_are_an_inversion():
    """A tick that stands behind a later one counts."""
    assert ledger([read(TEXTS[number]) for number in (0, 2, 1, 3, 4)]).inversions == 1


def test_a_tick_nobody_sent_is_unknown():
    """It hides no loss."""
    found = ledger([*(read(text) for text in TEXTS[:4]), read(record(ISINS[0], accumulated=99))])
    assert (found.unknown, found.lost) == (1, 1)
