"""A journal under steady load, to be killed; prints what it found, then what it wrote.

The first line is JSON. Each further line holds the time (CLOCK_MONOTONIC), the highest number in
the segments, and the longest sync so far in seconds.
"""

import argparse
import asyncio
import itertools
import json
import logging
import os
import sys
import time
from pathlib import Path

import structlog

from connector.core.ticks.frame import Received
from connector.settings import JournalSettings
from connector.shell.journal import Journal, Loss

BYTES = 1500  # of a frame: with segments of 1 MiB a roll comes every 700 frames
A_TURN = 50
BEHIND = 20  # frames that stay undelivered
BOUND = 16 * 2**20


def frame(number: int) -> bytes:
    """Return the content of the frame with this number."""
    return b"%d " % number + b"x" * (BYTES - len(str(number)) - 1)


def number_of(raw: bytes) -> int:
    """Return the number of a frame, or 0 if its content is not genuine."""
    number = int(raw.split(b" ")[0]) if raw[:1].isdigit() else 0
    return number if raw == frame(number) else 0


async def content(source: Journal) -> list[int]:
    """Return the numbers of all readable undelivered frames, 0 for one with foreign content."""
    numbers: list[int] = []
    after = source.watermark
    while after < source.committed_seq:
        block = await source.read(after, 4096)
        for place, received in enumerate(block.frames):
            number = number_of(received.raw)
            numbers.append(number if number == block.first_seq + place else 0)
        after = block.last_seq
    return numbers


async def main(folder: Path, retain_hours: float, pause: float) -> None:
    """Write until killed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))  # stdout is for results
    longest = _longest_sync()
    source = await Journal.open(JournalSettings(path=folder, max_bytes=BOUND, retain_hours=retain_hours), _ignore)
    numbers = await content(source)
    found = {name: getattr(source, name) for name in ("watermark", "last_seq", "received", "finished", "pending")}
    _tell(
        json.dumps(
            {
                **found,
                "readable": len(numbers),
                "foreign": numbers.count(0),
                "highest": max(numbers, default=source.watermark),
                "first_missing": _first_missing(numbers, source.watermark),
                "lost": sum(source.lost.values()),
                "corrupt": source.lost.get("corrupt", 0),
            }
        )
    )
    after = source.last_seq
    source.advance(after - BEHIND)  # or they might fill the small bound
    while True:
        for _ in range(A_TURN):
            source.append(Received(time.time_ns(), 0, 1, False, frame(source.last_seq + 1)))
        while after < source.last_seq:
            after = (await source.read(after, 4096)).last_seq
        source.advance(after - BEHIND)
        _tell(f"{time.monotonic():.6f} {source.committed_seq} {longest():.6f}")
        if pause:
            await asyncio.sleep(pause)


def _first_missing(numbers: list[int], watermark: int) -> int:
    """Return the first number above the watermark that was not read."""
    there = set(numbers)
    return next(number for number in itertools.count(watermark + 1) if number not in there)


def _ignore(_: Loss) -> None:
    """Take a loss; the count of lost frames is what the parent looks at."""


def _longest_sync():
    """Time every sync of this process; return a function that gives the longest, in seconds."""
    seconds = [0.0]

    def timed(sync):
        def call(descriptor):
            since = time.monotonic()
            try:
                sync(descriptor)
            finally:
                seconds.append(max(seconds.pop(), time.monotonic() - since))

        return call

    os.fsync, os.fdatasync = timed(os.fsync), timed(os.fdatasync)
    return lambda: seconds[0]


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--retain-hours", type=float, default=0, help="0: delivered segments go at once")
    parser.add_argument("--pause", type=float, default=0, help="seconds between two turns")
    given = parser.parse_args()
    asyncio.run(main(given.folder, given.retain_hours, given.pause))
