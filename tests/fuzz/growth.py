"""Checks that a function's time grows at most linearly with the length of its input."""

from functools import partial

from tests.cpu_time import cpu_seconds, is_within

LENGTHS = (64, 256, 1024, 4096, 16384)  # a cubic search fails at the second, before it takes long
SLACK = 4  # how much longer than in proportion to the shortest text a call may take
NOISE_SECONDS = 0.01


def texts(pattern):
    """Yield longer and longer texts that repeat the middle one of a pattern's lines."""
    before, repeated, after = (*pattern.split("\n", 2), "", "")[:3]
    repeated = repeated or before or "_"
    for length in LENGTHS:
        yield before + repeated * (length // len(repeated) + 1) + after


def assert_linear(function, pattern):
    """Check a function on the texts of a pattern."""
    shortest, *longer = texts(pattern)
    each = cpu_seconds(lambda: function(shortest)) / len(shortest)
    for text in longer:
        allowed = NOISE_SECONDS + SLACK * each * len(text)
        assert is_within(allowed, partial(function, text)), f"{len(text)} characters took more than {allowed:.3f} s"
