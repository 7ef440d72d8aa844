"""Stalls of clients."""

from simulator.stats import Stats


def test_a_stall_counts_while_it_lasts_and_after():
    """The longest and all stalls include one that has not ended."""
    stats = Stats()
    assert (stats.stalls, stats.max_stall_seconds, stats.total_stall_seconds) == (0, 0.0, 0.0)
    stats.stalled(1)
    lasting = stats.max_stall_seconds
    stats.flowed(1)
    stats.flowed(1)
    assert 0 < lasting <= stats.max_stall_seconds == stats.total_stall_seconds
    assert stats.stalls == 1
