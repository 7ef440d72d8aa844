"""Bounds on CPU time that neither a busy machine nor a slow one exceeds."""

import time

TRIES = 5
USUAL_SECONDS = 0.01  # that the yardstick takes on the machine for which bounds are written


def is_within(seconds, call):
    """Whether a call takes less CPU time than this on a machine of the usual speed."""
    return any(cpu_seconds(call) < seconds * slowness() for _ in range(TRIES))


def is_less(seconds, call):
    """Whether one of five calls takes less CPU time: noise only adds, so the least one counts."""
    return any(cpu_seconds(call) < seconds for _ in range(TRIES))


def cpu_seconds(call):
    """Return the CPU time in seconds that this thread needs for a call."""
    since = time.thread_time()
    call()
    return time.thread_time() - since


def slowness():
    """Return how many times slower than usual this machine is now, at least 1."""
    return max(1, cpu_seconds(_yardstick) / USUAL_SECONDS)


def _yardstick():
    words = [f"{number:05d}" for number in range(20_000)]
    ",".join(sorted(words, reverse=True))
    dict.fromkeys(words)
