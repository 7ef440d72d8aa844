"""The guard fails if the encoder is a third slower, and at no other time."""

import json
import time
from itertools import islice, repeat

import pytest

from benchmarks.encoders import ENCODERS
from benchmarks.guard import CASES, FEWEST_ROUNDS, MOST_ROUNDS, RECORDED, ratios, verdict


def slowed(make, share):
    """Return what makes an encoder that takes longer by this share of its CPU time."""

    def make_slow():
        encode = make()

        def encode_slowly(frames):
            started = time.process_time()
            values = encode(frames)
            taken = time.process_time() - started
            while time.process_time() - started < taken * (1 + share):
                pass
            return values

        return encode_slowly

    return make_slow


@pytest.mark.slow
def test_guard_bites():
    """An encoder that is a third slower misses a ratio that the true one reaches."""
    ours, theirs = ENCODERS["connector"], ENCODERS["straightforward"]
    *_, recorded = islice(ratios(ours, theirs, 19), MOST_ROUNDS)
    assert verdict(recorded, ratios(ours, theirs, 19))[0]
    is_met, ratio = verdict(recorded, ratios(slowed(ours, 1 / 3), theirs, 19))
    assert not is_met
    assert ratio < 0.85 * recorded


@pytest.mark.slow
def test_ratios_take_the_least_of_all_rounds():
    """A round that is disturbed does not worsen the ratio of the rounds before it."""
    make, shares = ENCODERS["connector"], iter([0, 3])  # in the second round it takes four times as long

    def make_disturbed():
        return slowed(make, next(shares))()

    undisturbed, disturbed = islice(ratios(make_disturbed, make, 19), 2)
    assert disturbed > 0.8 * undisturbed


@pytest.mark.parametrize(
    ("measured", "is_met", "used"),
    [
        ([2.0, 2.0, 2.0, 2.0], True, FEWEST_ROUNDS),
        ([1.0, 1.5, 1.79, 1.8, 2.0], True, 4),
        (repeat(1.79), False, MOST_ROUNDS),
    ],
)
def test_verdict(measured, is_met, used):
    """Nine tenths of the recorded ratio are enough, in any round from the third to the last."""
    taken = []
    counted = (taken.append(each) or each for each in measured)
    assert verdict(2.0, counted) == (is_met, taken[-1])
    assert len(taken) == used


def test_recorded_ratios():
    """Each case has a recorded ratio, with the command that made it."""
    recorded = json.loads(RECORDED.read_text())
    assert recorded["command"] == "make bench-guard ARGS=--record"
    assert recorded["ratios"].keys() == CASES.keys()
    assert all(ratio > 1 for ratio in recorded["ratios"].values())
