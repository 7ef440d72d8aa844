"""Tests of what `status` and `top` show."""

import json
from datetime import UTC, datetime, timedelta

from rich.cells import cell_len

from connector.cli.status_view import Sample, as_object, quantile, shown
from tests.cli.subs.status_records import active, alive

A, B = "KR103502GA34", "KR103502GD31"
LONG_AGO = (datetime.now(UTC) - timedelta(hours=1)).isoformat()


def records(at=None):
    """Return the status records of one slot with one active bond."""
    return {"slot/0": json.loads(alive(at)), f"instrument/{A}": json.loads(active(0, lists=["desk"]))}


def sample(at, acknowledged):
    """Return an answer of /status."""
    latency = {"bounds": [0.1, 0.5, 1.0], "counts": [98, 99, 100], "total": 100}
    ticks = {"acknowledged": acknowledged, "dead_letters": {"FIELD_TIME": 2, "BUG": 1}, "latency": latency}
    frames = {"pending": 7, "lost": {"disk": 3}}
    shape = {"name": "one", "version": "9.9", "ready": True, "reasons": [], "degraded": ["slot 0 is BLOCKED"]}
    return Sample(at, {"ticks": ticks, "frames": frames, **shape})


def test_the_figures_of_a_running_connector():
    """The rate is that between two samples, the delay that of 99 of 100 ticks, and sums add up."""
    found = as_object(records(), {B: b"{}"}, sample(10.0, 100), sample(12.0, 150))
    assert (found["running"], found["bonds"]) == (True, {"ACTIVE": 1, "PENDING": 1})
    one = found["connector"]
    assert (one["ticks_per_second"], one["p99_seconds"], one["pending"], one["lost"]) == (25.0, 0.5, 7, 3)
    assert (one["dead_letters"], one["acknowledged"]) == (3, 150)
    text = shown(found, None, 80, folds=True)
    assert "A connector is running." in text
    assert "bonds      2 wanted: 1 ACTIVE, 1 PENDING" in text
    assert "ticks      25.0 a second, 150 delivered, 3 dead letters" in text
    assert "problem    slot 0 is BLOCKED" in text
    assert text[-1].split()[:6] == ["0", "CONNECTED", "test", "1/41", "0", "01-02"]
    assert max(map(cell_len, text)) <= 80


def test_without_a_connector():
    """A silent slot counts as gone, and why there are no figures is said."""
    found = as_object(records(LONG_AGO), {}, None, None)
    assert (found["running"], found["connector"], found["slots"][0]["alive"]) == (False, None, False)
    text = shown(found, "nobody answered", 80, folds=False)
    assert text[0] == "No connector is running."
    assert "figures    none: nobody answered" in text
    assert text[-1].split()[1] == "GONE"


def test_a_long_reason_goes_on_below_itself():
    """A line that is wider than the terminal goes on under its text; a pipe gets it whole."""
    found, why = as_object({}, {}, None, None), "nobody answered " * 9
    text = shown(found, why, 60, folds=True)
    assert max(map(cell_len, text)) <= 60
    assert " ".join(" ".join(text).split()).count("nobody answered") == 9
    assert [line[:11].strip() for line in text[2:5]] == ["figures", "", ""]
    assert f"figures    none: {why}" in shown(found, why, 60, folds=False)


def test_records_and_answers_of_any_shape():
    """Whatever others wrote or answer, there is a report, and no rate without two samples."""
    odd = {"slot/0": {"state": 1, "alive_at": 7, "capacity": "x"}, "slot/x": {}, "slot/٣": {}}
    huge = 10**400
    latencies = [
        {"bounds": bounds, "counts": counts, "total": total}
        for bounds, counts, total in [
            (1, None, "x"),
            ([1], ["x"], 1),
            ([1], [None], 1),
            ([[1]], [1], 1),
            ([None], [1], 1),
            (["a"], [1], 1),
            ([float("inf")], [1], 1),
            ([huge], [1], 1),
            ([1], [1], huge),
            ([1], [True], 1),
        ]
    ]
    statuses = [{}, {"ticks": 1, "frames": [], "reasons": "x"}, {"ticks": {"acknowledged": huge}}]
    for status in (*statuses, *({"ticks": {"latency": each}} for each in latencies)):
        found = as_object(odd, {}, None, Sample(1.0, status))
        assert [slot["slot"] for slot in found["slots"]] == [0]
        assert (found["connector"]["ticks_per_second"], found["connector"]["p99_seconds"]) == (None, None)
        assert shown(found, None, 80, folds=True)


def test_a_restart_between_two_samples_has_no_rate():
    """A count that fell back gives no rate."""
    assert as_object({}, {}, sample(1.0, 500), sample(2.0, 5))["connector"]["ticks_per_second"] is None


def test_the_quantile_of_a_histogram():
    """The quantile is the first bound with enough at most it, and none above the last bound."""
    assert quantile([1, 2], [99, 100], 100, 0.99) == 1
    assert quantile([1, 2], [98, 98], 100, 0.99) is None
    assert quantile([1, 2], [0, 0], 0, 0.99) is None


def test_only_so_many_problems_are_shown():
    """A foreign answer fills no terminal."""
    found = as_object({}, {}, None, Sample(1.0, {"degraded": ["x"] * 5_000}))
    assert len(found["connector"]["problems"]) == 20
