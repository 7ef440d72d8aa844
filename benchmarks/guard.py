"""Fails if split and encode have become slower, on any machine.

It counts their work, the bytecodes and C calls of a tick, which is the same on every machine with
one minor version of Python. Then it compares their CPU time with that of a sketch which does the
same kind of work. That sees what a count does not: C functions that take longer.
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
from typing import Any

from benchmarks import instructions, work
from benchmarks.encoders import ENCODERS, Encoder
from connector.core.ticks.frame import Received
from connector.shell.delivery.reading import FRAMES_A_TURN

RECORDED = Path(__file__).with_name("recorded.json")
RECORDING = "make bench-guard ARGS=--record"
CASES = {"1 tick a frame": 1, "19 ticks a frame": 19}
LEAST_OF_WORK = 0.9  # recorded work ÷ measured work; there is no noise
# Measured ratio of CPU times ÷ recorded ratio. The margin is wide because another CPU, with smaller
# caches for one, changes the connector and the yardstick nearly alike, but not quite. A little more
# work is seen by the count.
LEAST_OF_TIME = 0.75
FEWEST_ROUNDS, MOST_ROUNDS = 3, 8  # a slow encoder is slow in the last round, too
WARM_TICKS = 40_000  # fill the caches, as the day has long done
TURNS, TICKS_A_TURN = 40, 512  # a turn is shorter than the time slice of a busy machine
COUNTED_TICKS = 19 * FRAMES_A_TURN  # whole runs in both cases


def work_per_tick(ours: Callable[[], Encoder], per_frame: int) -> float:
    """Return how many bytecodes and C calls a tick takes once the caches are warm."""
    frames = instructions.received_frames(WARM_TICKS + COUNTED_TICKS, per_frame)
    warm = len(frames) - COUNTED_TICKS // per_frame
    encode = ours()
    encode(frames[:warm])
    return work.count(lambda: encode(frames[warm:])) / COUNTED_TICKS


def ratios(ours: Callable[[], Encoder], theirs: Callable[[], Encoder], per_frame: int) -> Iterator[float]:
    """Yield after each round the CPU time of `theirs` ÷ that of `ours`.

    Both encode the same short turns of frames, one after the other. The CPU time of a turn is the
    least of all rounds: other programs, which can only make a turn longer, seldom disturb the same
    turn in every round.
    """
    frames = instructions.received_frames(WARM_TICKS + TURNS * TICKS_A_TURN, per_frame)
    warm, size = WARM_TICKS // per_frame, TICKS_A_TURN // per_frame
    turns = [frames[start : start + size] for start in range(warm, warm + TURNS * size, size)]
    of_ours, of_theirs = [math.inf] * TURNS, [math.inf] * TURNS
    while True:
        encode, reference = ours(), theirs()
        encode(frames[:warm])
        reference(frames[:warm])
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
    """Return whether a round reaches its share of the recorded ratio, and the last ratio."""
    ratio = 0.0
    for number, ratio in enumerate(islice(measured, MOST_ROUNDS), 1):
        if number >= FEWEST_ROUNDS and ratio >= LEAST_OF_TIME * recorded:
            return True, ratio
    return False, ratio


def is_work_met(title: str, per_frame: int, recorded: float) -> bool:
    """Count the work of a case and print it; return whether it is near enough to the recorded."""
    counted = work_per_tick(ENCODERS["connector"], per_frame)
    most = recorded / LEAST_OF_WORK
    said = "" if counted <= most else f", NOT MET: at most {most:.1f} are expected"
    print(f"{title}: {counted:.1f} bytecodes and C calls a tick, recorded {recorded:.1f}{said}")
    return not said


def is_time_met(title: str, per_frame: int, recorded: float) -> bool:
    """Measure the CPU time of a case and print it; return whether it is near enough."""
    is_met, ratio = verdict(recorded, _connectors_ratios(per_frame))
    said = "" if is_met else f", NOT MET: at least {LEAST_OF_TIME * recorded:.2f} x is expected"
    print(f"{title}: {ratio:.2f} x the speed of the yardstick, recorded {recorded:.2f} x{said}")
    return is_met


def check(recorded: dict[str, Any]) -> bool:
    """Measure each case; return whether all are near enough to what is recorded."""
    can_count, good = recorded["python"] == work.PYTHON, True
    for title, per_frame in CASES.items():
        case = recorded["cases"][title]
        if can_count:
            good &= is_work_met(title, per_frame, case["work"])
        good &= is_time_met(title, per_frame, case["ratio"])
    if not can_count:
        print(
            f"NOT COUNTED: the work was recorded with Python {recorded['python']}, and this is {work.PYTHON}. "
            f"Only a large slowdown can be seen. Run the guard with Python {recorded['python']}, "
            f"or record the work of this version: {RECORDING}",
            file=sys.stderr,
        )
    if not good:
        print(f"Split and encode became slower. If that is meant, record it: {RECORDING}")
    return good


def measured() -> dict[str, Any]:
    """Return what `recorded.json` holds: the figures, with the command and the machine."""
    return {
        "command": RECORDING,
        "at": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "python": work.PYTHON,
        "cases": {
            title: {
                "work": round(work_per_tick(ENCODERS["connector"], per_frame), 1),
                "ratio": round(list(islice(_connectors_ratios(per_frame), MOST_ROUNDS))[-1], 2),
            }
            for title, per_frame in CASES.items()
        },
    }


def _connectors_ratios(per_frame: int) -> Iterator[float]:
    return ratios(ENCODERS["connector"], ENCODERS["yardstick"], per_frame)


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
        RECORDED.write_text(json.dumps(measured(), indent=2) + "\n")
        print(RECORDED.read_text(), end="")
        return
    good = check(json.loads(RECORDED.read_text()))
    show_instructions()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
