"""Fails if split and encode have become slower, relative to fastavro in the same process.

Both encode the same short turns of frames, one after the other, for several rounds. The CPU time of
a turn is the least of all rounds. The machine's speed changes both alike, and other programs, which
can only make a turn longer, seldom disturb the same turn in every round.
"""

import argparse
import gc
import json
import math
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from benchmarks import instructions
from benchmarks.encoders import ENCODERS, Encoder
from connector.core.ticks.frame import Received

RECORDED = Path(__file__).with_name("recorded.json")
RECORDING = "make bench-guard ARGS=--record"
CASES = {"1 tick a frame": 1, "19 ticks a frame": 19}
LEAST = 0.9  # of the recorded ratio
FEWEST_ROUNDS, MOST_ROUNDS = 3, 8  # a slow encoder is slow in the last round, too
WARM_TICKS = 20_000  # fill the caches, as the day has long done
TURNS, TICKS_A_TURN = 40, 512  # a turn is shorter than the time slice of a busy machine


def ratios(ours: Callable[[], Encoder], theirs: Callable[[], Encoder], per_frame: int) -> Iterator[float]:
    """Yield after each round how many times less CPU time `ours` takes than `theirs`."""
    frames = instructions.received_frames(WARM_TICKS + TURNS * TICKS_A_TURN, per_frame)
    warm, size = WARM_TICKS // per_frame, TICKS_A_TURN // per_frame
    turns = [frames[start : start + size] for start in range(warm, warm + TURNS * size, size)]
    of_ours, of_theirs = [math.inf] * TURNS, [math.inf] * TURNS
    while True:
        encode, reference = ours(), theirs()
        encode(frames[:warm])
        gc.collect()
        gc.disable()
        try:
            for number, turn in enumerate(turns):
                of_theirs[number] = min(of_theirs[number], _cpu_seconds(reference, turn))
                of_ours[number] = min(of_ours[number], _cpu_seconds(encode, turn))
        finally:
            gc.enable()
        yield sum(of_theirs) / sum(of_ours)


def _cpu_seconds(encode: Encoder, turn: Sequence[Received]) -> float:
    started = time.process_time()
    encode(turn)
    return time.process_time() - started


def verdict(recorded: float, measured: Iterable[float]) -> tuple[bool, float]:
    """Return whether a round reaches nine tenths of the recorded ratio, and the last ratio."""
    ratio = 0.0
    for number, ratio in enumerate(islice(measured, MOST_ROUNDS), 1):
        if number >= FEWEST_ROUNDS and ratio >= LEAST * recorded:
            return True, ratio
    return False, ratio


def check(recorded: dict[str, float]) -> bool:
    """Measure each case, and print one line for it. Return whether all reach their ratio."""
    good = True
    for title, per_frame in CASES.items():
        is_met, ratio = verdict(recorded[title], _connectors_ratios(per_frame))
        good = good and is_met
        print(
            f"{title}: {ratio:.2f} x less CPU than fastavro, recorded {recorded[title]:.2f} x"
            + ("" if is_met else f", NOT MET: at least {LEAST * recorded[title]:.2f} x is expected")
        )
    if not good:
        print(f"Split and encode became slower. If that is meant, record the ratios: {RECORDING}")
    return good


def record() -> None:
    """Measure, and write the ratios down with the command and the machine."""
    about = {
        "command": RECORDING,
        "at": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "ratios": {
            title: round(list(islice(_connectors_ratios(per_frame), MOST_ROUNDS))[-1], 2)
            for title, per_frame in CASES.items()
        },
    }
    RECORDED.write_text(json.dumps(about, indent=2) + "\n")
    print(RECORDED.read_text(), end="")


def _connectors_ratios(per_frame: int) -> Iterator[float]:
    return ratios(ENCODERS["connector"], ENCODERS["straightforward"], per_frame)


def show_instructions() -> None:
    """Print the instructions of a tick if the machine counts them."""
    for title, per_frame in CASES.items():
        ours, theirs = (instructions.per_tick(name, per_frame) for name in ("connector", "straightforward"))
        if ours is None or theirs is None:
            print("This machine does not let perf count instructions.")
            return
        print(f"{title}: {ours:,.0f} instructions, {theirs / ours:.2f} x less than fastavro")


def main() -> None:
    """Check, or record with `--record`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.guard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help=f"measure and write {RECORDED.name}")
    if parser.parse_args().record:
        record()
        return
    good = check(json.loads(RECORDED.read_text())["ratios"])
    show_instructions()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
