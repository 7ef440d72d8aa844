"""How many random histories the models run, and how far they are.

The quick tests run few. `make models-full` sets KIS_BOND_HISTORIES, and then each model runs that
many and reports its progress. KIS_BOND_FIRST_HISTORY divides a long run into parts: a model of
seeds begins with that seed. Hypothesis gets the same number as its own seed.
"""

import os
import sys
from collections import Counter
from time import monotonic

VARIABLE = "KIS_BOND_HISTORIES"
FIRST = "KIS_BOND_FIRST_HISTORY"
_done: Counter[str] = Counter()
_started = {}


def histories(quick):
    """Return how many histories a model runs: `quick`, or what the environment says."""
    return int(os.environ.get(VARIABLE, quick))


def count(model):
    """Count one history of a model, and report the progress of a long run every 500 histories."""
    since = _started.setdefault(model, monotonic())
    _done[model] += 1
    if VARIABLE in os.environ and _done[model] % 500 == 0:
        print(f"{model}: {_done[model]:,} histories in {monotonic() - since:,.0f} s", file=sys.__stderr__, flush=True)


def seeds(model, quick):
    """Yield a seed for each history of a model, counted."""
    first = int(os.environ.get(FIRST, "0"))
    for seed in range(first, first + histories(quick)):
        yield seed
        count(model)
