"""The benchmark's table fits a terminal, and its cases are complete."""

import subprocess
import sys

from benchmarks.cases import CASES, SOAK
from benchmarks.report import HEADING, LEGEND, lines
from benchmarks.runs import ROOT


def entry(label, **ratios):
    """Return an entry with the widest figures that a machine may give."""
    medians = {
        "ticks_per_second": 9_999_999,
        "cpu_us_per_tick": 1_234.5,
        "p50_ms": 12_345.6,
        "p99_ms": 12_345.6,
        "peak_mb": 1_234,
        "early_mb": 100.4,
        "late_mb": 103.0,
    }
    return {"label": label, "medians": medians, **ratios}


def test_table_fits_80_columns():
    """No line is wider than 80 columns, and no two figures touch."""
    shown = [HEADING, *LEGEND.splitlines()]
    for case in [*CASES.values(), SOAK]:
        entries = [entry(each.label, ratio=123.45, cpu_ratio=123.45) for each in case.entries]
        shown += lines({"name": case.name, "title": case.title, "entries": entries})
    assert max(map(len, shown)) <= 80
    figures = ["9,999,999", "123.45", "x", "1,234.5", "123.45", "x", "12,345.6", "12,345.6", "1,234"]
    assert next(line.split() for line in shown if "connector" in line) == ["connector", *figures]


def test_absent_figures_are_blank():
    """What a case does not measure is left blank."""
    of_one = entry("connector")
    of_one["medians"] |= {"p50_ms": None, "p99_ms": None}
    _, line = lines({"name": "drain", "title": "drain", "entries": [of_one]})
    assert line.split() == ["connector", "9,999,999", "1,234.5", "1,234"]


def test_soak_shows_how_memory_grew():
    """A long run shows what was resident early and late, and the ratio."""
    *_, line = lines({"name": "soak", "title": "", "entries": [entry("connector")]})
    assert line.split(", ") == ["  RSS 100 MB after a tenth of the ticks", "103 MB at the end: 1.03 x"]


def test_help_names_every_case():
    """`--help` has each case and examples, in 80 columns, and ends with 0."""
    command = [sys.executable, "-m", "benchmarks.bench", "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env={"COLUMNS": "80", "PATH": ""}
    )
    assert set(CASES) <= set(done.stdout.split())
    assert "make bench ARGS=" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_unknown_case_is_refused():
    """An unknown case ends with 2 and the list of cases."""
    command = [sys.executable, "-m", "benchmarks.bench", "--only", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "paced-1000" in done.stderr
