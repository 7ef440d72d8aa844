"""Latencies fall into cumulative buckets."""

from hypothesis import given
from hypothesis import strategies as st

from connector.core.histogram import Latencies, WholeSeconds

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


@given(latencies=st.lists(st.integers(0, 100), max_size=50))
def test_whole_seconds_fall_into_the_same_buckets(latencies):
    """Counting by second first gives the buckets that counting one by one gives."""
    seen = WholeSeconds()
    for seconds in latencies:
        seen[seconds] += 1
    histogram = seen.latencies((0, 5, 60))
    assert histogram.counts == [sum(latency <= bound for latency in latencies) for bound in (0, 5, 60)]
    assert (histogram.total, histogram.sum_seconds) == (len(latencies), sum(latencies))


def test_a_clock_set_back_counts_as_no_latency():
    """The sum never goes down, whichever of a batch's starts are after its end."""
    latencies = Latencies((0.5, 2))
    latencies.observe([10_000_000_000, 11_000_000_000, 5_000_000_000], 6_000_000_000)
    latencies.observe([5_000_000_000, 7_000_000_000], 6_000_000_000)
    assert (latencies.counts, latencies.total, latencies.sum_seconds) == ([3, 5], 5, 2.0)
