"""Checks that a function's time grows at most linearly with the length of its input."""

import time

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
    each = _seconds(function, shortest) / len(shortest)
    for text in longer:
        allowed = NOISE_SECONDS + SLACK * each * len(text)
        if _seconds(function, text) > allowed:  # a busy machine deserves further tries
            seconds = min(_seconds(function, text) for _ in range(3))
            assert seconds <= allowed, f"{seconds:.3f} s for {len(text)} characters, allowed: {allowed:.3f} s"


def _seconds(function, text):
    since = time.thread_time()
    function(text)
    return time.thread_time() - since
