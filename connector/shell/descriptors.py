"""Raises the process's limit of open files at the start."""

import contextlib
import resource
from typing import Final

WANTED: Final = 8192


def raise_limit() -> None:
    """Raise the soft limit to `WANTED`, or to the hard limit if that is less; never lower it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):  # a platform may allow less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
