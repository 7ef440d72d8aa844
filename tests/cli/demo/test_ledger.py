"""Tests of comparing what was sent with what arrived."""

from dataclasses import replace

import pytest

from connector.cli.demo.ledger import Ledger

EVEN = Ledger(
    frames=9, sent=9, received=9, delivered=9, dead_lettered=0, pending=0, read_back=9, duplicates=0, unreadable=0
)
CUT = replace(EVEN, frames=10, sent=10, is_cut=True, backfilled=1, covered_volume=100, accumulated_volume=100)


def test_equal_counts_are_no_difference():
    """Equal counts are no difference and no loss, and duplicates change nothing."""
    assert EVEN.differences() == replace(EVEN, duplicates=2).differences() == []
    assert EVEN.is_drained
    assert EVEN.lost == 0


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 2, "received": 2, "ticks_per_frame": 5},
        {"frames": 11, "received": 11, "malformed": 2, "dead_lettered": 2},
        {"sent": 11, "frames": 11, "received": 11, "delivered": 11, "repeated": 2, "duplicates": 2},
    ],
)
def test_what_a_fault_does_is_no_difference(change):
    """Frames of several ticks, spoiled frames and repeated ones are accounted for."""
    ledger = replace(EVEN, **change)
    assert (ledger.differences(), ledger.lost, ledger.is_drained) == ([], 0, True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"frames": 10}, "sent 10 frames, and the connector received 9"),
        ({"delivered": 8, "read_back": 9}, "sent 9 ticks, and Kafka acknowledged 8: 0 frames are still"),
        ({"pending": 1}, "sent 9 ticks, and Kafka acknowledged 9: 1 frames are still"),
        ({"dead_lettered": 1}, "spoiled 0 frames or records; 1 were dead-lettered"),
        ({"malformed": 1}, "spoiled 1 frames or records; 0 were dead-lettered"),
        ({"read_back": 8}, "an independent consumer read back 8"),
        ({"read_back": 10}, "an independent consumer read back 10"),
        ({"repeated": 1}, "1 of the ticks sent were repeats, and an independent consumer read back 9"),
        ({"unreadable": 1}, "could not decode 1 records"),
    ],
)
def test_each_difference_is_named(change, text):
    """Each difference is one sentence with its figures."""
    (difference,) = replace(EVEN, **change).differences()
    assert text in difference


def test_a_cut_session():
    """A frame lost with its session is accounted for if KIS's list filled the hole."""
    assert (CUT.differences(), CUT.lost, CUT.is_drained) == ([], 0, True)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"covered_volume": 99}, "cover 99 of 100"),
        ({"pending": 1}, "1 frames are still in the journal"),
        ({"dead_lettered": 1}, "spoiled 0 frames or records; 1 were dead-lettered"),
        ({"read_back": 8}, "an independent consumer read back 8"),
    ],
)
def test_a_cut_session_hides_no_other_difference(change, text):
    """Where sessions are cut, all that arrived must still be delivered and read back."""
    (difference,) = replace(CUT, **change).differences()
    assert text in difference


def test_lost():
    """A tick is lost if it is neither read back, dead-lettered nor in the journal."""
    assert replace(EVEN, read_back=5, dead_lettered=1, pending=1).lost == 2
    assert replace(EVEN, read_back=5, dead_lettered=1, malformed=1, pending=1).lost == 3
    assert replace(EVEN, read_back=2, pending=1, ticks_per_frame=5).lost == 2
    assert replace(EVEN, read_back=6, repeated=1).lost == 2
    assert replace(EVEN, read_back=12).lost == 0
    assert replace(CUT, covered_volume=99).lost == 1


@pytest.mark.parametrize("change", [{"pending": 1}, {"frames": 10}, {"read_back": 8}])
def test_ticks_under_way(change):
    """A run is not drained while a tick is on its way to the journal, Kafka or the consumer."""
    assert not replace(EVEN, **change).is_drained
