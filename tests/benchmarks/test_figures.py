"""Medians, percentiles and ratios are those of the textbook."""

import pytest

from benchmarks.bench import ratios
from benchmarks.cases import CASES
from benchmarks.figures import median_ratio, medians, percentile


def runs(*ticks_per_second, cpu=(10, 10, 10)):
    """Return one run for each speed."""
    return [
        {"ticks_per_second": each, "cpu_us_per_tick": of_cpu, "p50_ms": None}
        for each, of_cpu in zip(ticks_per_second, cpu, strict=False)
    ]


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (1.1, 2), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_percentile_of_a_hundred(percent, expected):
    """The p-th percentile of 1 to 100 is p, rounded up."""
    assert percentile(range(1, 101), percent) == expected


def test_percentile_of_one():
    """Every percentile of a single value is that value."""
    assert [percentile([7], percent) for percent in (0, 50, 99, 100)] == [7] * 4


def test_ratio_is_pair_by_pair():
    """A machine that slows down between pairs does not change the ratio."""
    assert median_ratio(runs(300, 30, 3), runs(100, 10, 1), "ticks_per_second") == 3


def test_ratio_is_not_of_medians():
    """The median is taken of the ratios, not of the figures."""
    assert median_ratio(runs(100, 200, 900), runs(100, 100, 100), "ticks_per_second") == 2
    assert median_ratio(runs(100, 200, 900), runs(900, 100, 200), "ticks_per_second") == 2


def test_unequal_numbers_of_runs_are_refused():
    """A run without its pair is a mistake."""
    with pytest.raises(ValueError, match="zip"):
        median_ratio(runs(1, 2), runs(1), "ticks_per_second")


def test_medians():
    """Each figure has its own median; a figure that no run has stays absent."""
    assert medians(runs(1, 3, 2, cpu=(9, 7, 8))) == {"ticks_per_second": 2, "cpu_us_per_tick": 8, "p50_ms": None}


def test_ratios_above_one_are_better():
    """Twice the speed at half the CPU is twice 2."""
    fast, slow = runs(200, 200, 200), runs(100, 100, 100, cpu=(20, 20, 20))
    assert ratios(CASES["single"], fast, slow) == {"ratio": 2, "cpu_ratio": 2}


def test_paced_ratio_is_of_cpu():
    """At a given pace all have the same speed, so only CPU is compared."""
    assert ratios(CASES["paced-1000"], runs(1, 1, 1), runs(1, 1, 1, cpu=(5, 5, 5))) == {"cpu_ratio": 0.5}
