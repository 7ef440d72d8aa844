"""Records are counted once: decoded = acknowledged + dead letters of records + in flight."""

from connector.shell.delivery.counts import Counts


def test_the_law_holds_over_ticks_and_letters():
    """Only dead letters of records end a decoded record; whole frames were never decoded."""
    counts = Counts(decoded=6)
    counts.count_acknowledged([1, 2], [], 3)
    counts.count_acknowledged([1, 1], ["FIELD_TIME", "KAFKA_REFUSED"], 3)
    counts.count_acknowledged([1], ["FRAME_ARITY"], 3)
    assert (counts.acknowledged, counts.in_flight) == (2, 2)
    assert counts.dead_letters == {"FIELD_TIME": 1, "KAFKA_REFUSED": 1, "FRAME_ARITY": 1}
    assert counts.latencies.total == 2
