"""Counts latencies in the buckets of a Prometheus histogram, many at once."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate


class Latencies:
    """Latencies by upper bound in seconds. `counts[i]` is how many are at most `bounds[i]`."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * len(self.bounds)
        self.total = 0
        self.sum_seconds = 0.0
        self._bounds_ns = [int(bound * 1e9) for bound in self.bounds]

    def observe(self, started_ns: Sequence[int], ended_ns: int) -> None:
        """Count one latency for each start. `started_ns` is in ascending order, as in a batch.

        A start after the end counts as no latency: the clock was set back meanwhile.
        """
        if started_ns and max(started_ns[0], started_ns[-1]) > ended_ns:
            started_ns = sorted(min(started, ended_ns) for started in started_ns)
        total = len(started_ns)
        for index, bound in enumerate(self._bounds_ns):
            self.counts[index] += total - bisect_left(started_ns, ended_ns - bound)
        self.total += total
        self.sum_seconds += (ended_ns * total - sum(started_ns)) / 1e9


class WholeSeconds(defaultdict[int, int]):
    """How many latencies there were of each whole number of seconds.

    Counting one is `seen[seconds] += 1`, which is cheap enough for the tick path.
    """

    def __init__(self) -> None:
        super().__init__(int)

    def latencies(self, bounds: Sequence[float]) -> Latencies:
        """Return the latencies in the buckets of a histogram."""
        counted = Latencies(bounds)
        for seconds, count in self.items():
            if (first := bisect_left(counted.bounds, seconds)) < len(counted.bounds):
                counted.counts[first] += count
            counted.total += count
            counted.sum_seconds += seconds * count
        counted.counts = list(accumulate(counted.counts))
        return counted
