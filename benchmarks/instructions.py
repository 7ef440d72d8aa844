"""Counts the instructions of an encoder, where the machine lets `perf` count them.

As a program it does the counted work: `python -m benchmarks.instructions connector 1 20000`. With
`nothing` for the encoder it makes the frames alone.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.day import frames, ticks
from benchmarks.encoders import ENCODERS
from connector.core.ticks.frame import Received

ROOT = Path(__file__).parents[1]
PERF = ["stat", "-x", ",", "-e", "instructions:u", "--"]
TICKS = 20_000
RUN_FRAMES = 256  # a run of frames as delivery takes them
PRICES, BONDS = 2_000, 41  # few enough for the processor's own caches, which other programs share
RECEIVED_NS, APART_NS = 1_795_148_263_000_000_000, 100_000


def per_tick(encoder: str, per_frame: int) -> float | None:
    """Return the user-space instructions of one tick; None if the machine does not count."""
    if _count(["true"]) is None:
        return None
    with_encoder, without = (_count(_work(name, per_frame)) for name in (encoder, "nothing"))
    return None if with_encoder is None or without is None else (with_encoder - without) / TICKS


def _work(encoder: str, per_frame: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.instructions", encoder, str(per_frame), str(TICKS)]


def _count(command: list[str]) -> int | None:
    perf = shutil.which("perf")
    if perf is None:
        return None
    return counted(subprocess.run([perf, *PERF, *command], capture_output=True, text=True, check=True, cwd=ROOT).stderr)


def counted(said: str) -> int | None:
    """Return the count in what `perf stat -x ,` wrote; None for `<not supported>` and the like."""
    for line in said.splitlines():
        value, *rest = line.split(",")
        if len(rest) > 1 and rest[1].startswith("instructions") and value.isdigit():
            return int(value)
    return None


def received_frames(count: int, per_frame: int, prices: int = PRICES) -> list[Received]:
    """Return so many ticks of a day as received frames."""
    return [
        Received(RECEIVED_NS + number * APART_NS, slot=0, session=1, binary=False, raw=raw)
        for number, raw in enumerate(frames(ticks(count, BONDS, prices), per_frame))
    ]


def main() -> None:
    """Do the work of one encoder."""
    name, per_frame, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    received = received_frames(count, per_frame)
    encoders = {each: make() for each, make in ENCODERS.items()}
    for start in range(0, len(received), RUN_FRAMES):
        if name in encoders:
            encoders[name](received[start : start + RUN_FRAMES])


if __name__ == "__main__":
    main()
