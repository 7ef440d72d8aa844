"""The guard fails if the encoder is slower, in Python or in C, and at no other time."""

import hashlib
import json
import time
from itertools import islice, repeat

import pytest

from benchmarks import guard
from benchmarks.encoders import ENCODERS
from benchmarks.guard import CASES, FEWEST_ROUNDS, LEAST_OF_TIME, MOST_ROUNDS, RECORDED, ratios, verdict

PART = "19 ticks a frame"


def in_python():
    """Take some microseconds in the interpreter."""
    for _ in range(300):
        pass


def in_c():
    """Take some microseconds in one C function."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 50)


def slowed(make, share, spend):
    """Return what makes an encoder that takes longer by this share of its CPU time."""

    def make_slow():
        encode = make()

        def encode_slowly(frames):
            started = time.process_time()
            values = encode(frames)
            taken = time.process_time() - started
            while time.process_time() - started < taken * (1 + share):
                spend()
            return values

        return encode_slowly

    return make_slow


@pytest.fixture(name="recorded", scope="module")
def measure():
    """Yield what the guard records here, for one case and colder caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "WARM_TICKS", 10_000)
        patch.setattr(guard, "CASES", {PART: 19})
        yield guard.measured()


@pytest.mark.slow
def test_guard_passes(recorded, capsys):
    """The encoder that was recorded is good enough, in exactly as many bytecodes."""
    assert guard.check(recorded)
    work = recorded["cases"][PART]["work"]
    assert f"{work} bytecodes and C calls a tick, recorded {work}\n" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slower", "what"),
    [((1 / 3, in_python), "bytecodes and C calls"), ((1 / 2, in_c), "the speed of the yardstick")],
)
def test_guard_bites(recorded, monkeypatch, capsys, slower, what):
    """A third more work in Python misses the count, and half more in C misses the time."""
    monkeypatch.setitem(ENCODERS, "connector", slowed(ENCODERS["connector"], *slower))
    assert not guard.check(recorded)
    assert any("NOT MET" in line and what in line for line in capsys.readouterr().out.splitlines())


@pytest.mark.slow
def test_another_python(recorded, capsys):
    """With another minor version the count is left out, and the guard says so."""
    recorded = {**recorded, "python": "3.10", "cases": {PART: {**recorded["cases"][PART], "work": 1.0}}}
    assert guard.check(recorded)
    said = capsys.readouterr()
    assert said.err.startswith("NOT COUNTED: the work was recorded with Python 3.10, and this is ")
    assert "bytecodes" not in said.out


@pytest.mark.slow
def test_ratios_take_the_least_of_all_rounds():
    """A round that is disturbed does not worsen the ratio of the rounds before it."""
    make, shares = ENCODERS["connector"], iter([0, 3])  # in the second round it takes four times as long

    def make_disturbed():
        return slowed(make, next(shares), in_python)()

    undisturbed, disturbed = islice(ratios(make_disturbed, make, 19), 2)
    assert disturbed > 0.8 * undisturbed


@pytest.mark.parametrize(
    ("measured", "is_met", "used"),
    [
        ([2.0, 2.0, 2.0, 2.0], True, FEWEST_ROUNDS),
        ([1.0, 1.4, 1.49, 1.5, 2.0], True, 4),
        (repeat(1.49), False, MOST_ROUNDS),
    ],
)
def test_verdict(measured, is_met, used):
    """Three quarters of the recorded ratio are enough, in any round from the third to the last."""
    assert LEAST_OF_TIME == 0.75
    taken = []
    counted = (taken.append(each) or each for each in measured)
    assert verdict(2.0, counted) == (is_met, taken[-1])
    assert len(taken) == used


def test_recorded_figures():
    """Each case has recorded figures, with the command and the version of Python that made them."""
    recorded = json.loads(RECORDED.read_text())
    assert recorded["command"] == "make bench-guard ARGS=--record"
    assert recorded["python"] in recorded["machine"]
    assert recorded["cases"].keys() == CASES.keys()
    assert all(case["work"] > 1 and 0.5 < case["ratio"] < 2 for case in recorded["cases"].values())
