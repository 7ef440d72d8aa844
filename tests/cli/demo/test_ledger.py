"""What was sent against what arrived."""

from dataclasses import replace

import pytest

from connector.cli.demo.ledger import Ledger

EVEN = Ledger(sent=9, received=9, delivered=9, dead_lettered=0, pending=0, read_back=9, duplicates=0, unreadable=0)


def test_equal_counts_are_no_difference():
    """Sent = received = delivered = read back is settled, without difference or loss, and a duplicate changes nothing."""
    assert EVEN.differences() == replace(EVEN, duplicates=2).differences() == []
    assert EVEN.is_settled
    assert EVEN.lost == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sent": 10}, "sent 10 ticks, and the connector received 9"),
        ({"delivered": 8, "read_back": 8, "pending": 1}, "acknowledged 8: 0 were dead-lettered, 1 are still"),
        ({"delivered": 8, "read_back": 8, "dead_lettered": 1}, "acknowledged 8: 1 were dead-lettered, 0 are still"),
        ({"read_back": 8}, "an independent consumer read back 8"),
        ({"read_back": 10}, "an independent consumer read back 10"),
        ({"unreadable": 1}, "could not decode 1 records"),
    ],
)
def test_each_difference_is_named(change, told):
    """Whatever does not add up is told in one sentence with its figures."""
    (difference,) = replace(EVEN, **change).differences()
    assert told in difference


def test_lost_is_what_is_found_nowhere():
    """A tick that is dead-lettered or safe in the journal is not lost, one that is nowhere is."""
    assert replace(EVEN, read_back=5, dead_lettered=1, pending=1).lost == 2
    assert replace(EVEN, read_back=12).lost == 0


@pytest.mark.parametrize("change", [{"pending": 1}, {"sent": 10}, {"read_back": 8}])
def test_what_is_under_way_is_not_settled(change):
    """A run is not settled while a tick is on its way to the journal, to Kafka or to the consumer."""
    assert not replace(EVEN, **change).is_settled
