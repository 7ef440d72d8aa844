"""A pipeline's figures are those of the ticks that count."""

import time

import pytest

from benchmarks.pipeline import Meter, Run


def run(**options):
    """Return a run of a hundred ticks."""
    return Run(**({"ticks": 100, "bonds": 41, "prices": 100, "core": 0} | options))


def test_latencies_leave_out_the_first_tenth():
    """At a given pace the ticks of the first tenth have no latency in the figures."""
    meter, now = Meter(run(ticks_per_second=1000)), time.time_ns()
    meter.acknowledge([now - 9_000_000_000] * 10, now)
    meter.acknowledge([now - 2_000_000] * 45 + [now - 1_000_000] * 44, now)
    assert not meter.done.is_set()
    meter.acknowledge([now - 5_000_000], now)
    assert meter.done.is_set()
    figures = meter.figures()
    assert (figures["p50_ms"], figures["p99_ms"]) == (2, 5)


def test_full_speed_has_no_latency():
    """At full speed the figures have no latencies."""
    meter = Meter(run())
    meter.acknowledge([time.time_ns()] * 100, time.time_ns())
    assert meter.figures()["p99_ms"] is None


@pytest.mark.parametrize(("options", "cold"), [({}, 0), ({"ticks_per_second": 1000}, 10), ({"outage": True}, 1)])
def test_cold_ticks(options, cold):
    """Figures begin at once, after a paced tenth, or with the first tick after an outage."""
    assert run(**options).cold_ticks == cold


def test_speed_counts_from_the_first_warm_tick():
    """Ticks per second are those of the warm ticks in the warm time."""
    meter = Meter(run(ticks_per_second=1000))
    meter.acknowledge([0] * 10, 0)
    started = time.perf_counter()
    while time.perf_counter() - started < 0.05:
        pass
    for _ in range(90):
        meter.acknowledge_one(time.time_ns())
    assert 0 < meter.figures()["ticks_per_second"] <= 90 / 0.05


def test_memory_is_read_early_and_late():
    """What is resident after a tenth of the ticks is compared with what is resident at the end."""
    meter = Meter(run())
    meter.acknowledge([0] * 10, 0)
    kept = bytes(range(256)) * 2**17  # 32 MB
    meter.acknowledge([0] * 90, 0)
    figures = meter.figures()
    assert 25 < figures["late_mb"] - figures["early_mb"] < 45
    assert figures["peak_mb"] >= figures["late_mb"] - 1
    del kept
