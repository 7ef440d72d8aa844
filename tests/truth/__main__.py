"""Audits seeded days in virtual time, and judges each report: `make coverage-full`.

Examples:
  python -m tests.truth                  10,000 days
  python -m tests.truth --days 500       fewer
  python -m tests.truth --seed 4711      one day, to look at
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from time import monotonic

from rich.console import Console

from tests.truth.judge import differences

console = Console(highlight=False, soft_wrap=True)
EACH = 50  # days in one piece of work


def piece(seeds):
    """Return the number of holes on these days, and what was reported wrongly, by seed."""
    holes, wrong = 0, []
    for seed in seeds:
        found, count = differences(seed)
        holes += count
        wrong += [(seed, each) for each in found]
    return holes, wrong


def main():
    """Judge the days; end with 1 if any of them was reported wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=10_000)
    parser.add_argument("--seed", type=int, help="only the day of this seed")
    options = parser.parse_args()
    seeds = range(options.days) if options.seed is None else [options.seed]
    pieces = [seeds[first : first + EACH] for first in range(0, len(seeds), EACH)]
    began, holes, wrong, done = monotonic(), 0, [], 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for here, (found, differing) in zip(pieces, pool.map(piece, pieces), strict=True):
            holes, done = holes + found, done + len(here)
            wrong += differing
            for seed, each in differing:
                console.print(f"seed {seed}: {each}")
            progress = f"{done:,} of {len(seeds):,} days, {holes:,} holes, {len(wrong)} wrong"
            console.print(progress, end="\r" if console.is_terminal and done < len(seeds) else "\n")
    console.print(f"{monotonic() - began:.0f} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
