"""The arithmetic of the figures: medians, percentiles, and ratios pair by pair."""

import math
import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float | None]  # of one run, as `pipeline.Meter.figures` names them


def percentile(ascending: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of the values do not exceed."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]


def medians(runs: Sequence[Figures]) -> dict[str, float | None]:
    """Return the median of each figure; None where the runs have none."""
    return {
        name: None if value is None else statistics.median(_number(run[name]) for run in runs)
        for name, value in runs[0].items()
    }


def median_ratio(above: Sequence[Figures], below: Sequence[Figures], name: str) -> float:
    """Return the median of the ratios `above` ÷ `below` of one figure, pair by pair."""
    return statistics.median(_number(a[name]) / _number(b[name]) for a, b in zip(above, below, strict=True))


def _number(value: float | None) -> float:
    if value is None:
        raise ValueError("a run lacks a figure that another run has")
    return value
