"""Stalls of clients."""

from simulator.stats import Stats


def test_a_stall_counts_while_it_lasts_and_after():
    """The longest stall and the sum of all include one that still lasts."""
    stats = Stats()
    assert (stats.stalls, stats.max_stall_seconds, stats.total_stall_seconds) == (0, 0.0, 0.0)
    stats.begin_stall(1)
    lasting = stats.max_stall_seconds
    stats.end_stall(1)
    stats.end_stall(1)
    assert 0 < lasting <= stats.max_stall_seconds == stats.total_stall_seconds
    assert stats.stalls == 1
