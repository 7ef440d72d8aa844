"""Tests of comparing what was sent with what arrived."""

from dataclasses import replace

import pytest

from connector.cli.demo.ledger import Ledger

EVEN = Ledger(sent=9, received=9, delivered=9, dead_lettered=0, pending=0, read_back=9, duplicates=0, unreadable=0)


def test_equal_counts_are_no_difference():
    """Equal counts are no difference and no loss, and duplicates change nothing."""
    assert EVEN.differences() == replace(EVEN, duplicates=2).differences() == []
    assert EVEN.is_drained
    assert EVEN.lost == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"sent": 10}, "sent 10 ticks, and the connector received 9"),
        ({"delivered": 8, "read_back": 8, "pending": 1}, "acknowledged 8: 0 were dead-lettered, 1 are still"),
        ({"delivered": 8, "read_back": 8, "dead_lettered": 1}, "acknowledged 8: 1 were dead-lettered, 0 are still"),
        ({"read_back": 8}, "an independent consumer read back 8"),
        ({"read_back": 10}, "an independent consumer read back 10"),
        ({"unreadable": 1}, "could not decode 1 records"),
    ],
)
def test_each_difference_is_named(change, text):
    """Each difference is one sentence with its figures."""
    (difference,) = replace(EVEN, **change).differences()
    assert text in difference


def test_lost():
    """A tick is lost if it is neither read back, dead-lettered nor in the journal."""
    assert replace(EVEN, read_back=5, dead_lettered=1, pending=1).lost == 2
    assert replace(EVEN, read_back=12).lost == 0


@pytest.mark.parametrize("change", [{"pending": 1}, {"sent": 10}, {"read_back": 8}])
def test_ticks_under_way(change):
    """A run is not drained while a tick is on its way to the journal, Kafka or the consumer."""
    assert not replace(EVEN, **change).is_drained
