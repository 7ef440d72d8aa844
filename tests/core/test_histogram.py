"""Latencies fall into cumulative buckets."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.histogram import Latencies

SECOND = 10**9


@given(latencies=st.lists(st.integers(0, 5 * SECOND), max_size=50))
def test_buckets_are_cumulative_counts(latencies):
    """Each bucket counts the latencies of at most its bound, as counting them one by one would."""
    ended = 100 * SECOND
    histogram = Latencies((0.001, 0.5, 2))
    histogram.observe(sorted(ended - latency for latency in latencies), ended)
    assert histogram.counts == [sum(latency <= bound * SECOND for latency in latencies) for bound in histogram.bounds]
    assert histogram.total == len(latencies)
    assert abs(histogram.sum_seconds - sum(latencies) / SECOND) < 1e-6
