"""What the auditor reports of seeded days equals the world's log: volumes, neighbours, causes."""

import pytest

from tests.truth import world as worlds
from tests.truth.judge import differences

DAYS, EACH = 300, 30


@pytest.mark.parametrize("first", range(0, DAYS, EACH))
def test_reports_equal_what_happened(first):
    """Every hole is reported exactly, with its cause, and nothing else is: no false alarm."""
    wrong = {seed: found for seed in range(first, first + EACH) if (found := differences(seed)[0])}
    assert not wrong, "look at one of them with: python -m tests.truth --seed N"


def test_the_days_hold_everything_that_can_happen():
    """The first days have each cause, late and repeated ticks, restarts, and REST both ways."""
    days = [worlds.make(seed) for seed in range(DAYS)]
    lost = {deal.lost for day in days for deal in day.deals}
    assert lost == {
        *worlds.ENDED_BY,
        *worlds.LOST_BY,
        "killed",
        "not_running",
        "dead_letter",
        "registration_lost",
        "not_wanted",
        "not_registered",
        "unknown",
        None,
    }
    delays = [each.at_ms - each.seen_ms for day in days for each in day.arrivals]
    assert max(delays) > worlds.HOUR
    assert {each.source for day in days for each in day.arrivals} == {"ws", "replay"}
    assert {len(day.restarts) for day in days} == {0, 1, 3}
    assert {(day.has_rest, day.backfills) for day in days} == {(a, b) for a in (True, False) for b in (True, False)}
    assert any(day.taken_back for day in days)
    assert {deal.day for day in days for deal in day.deals} == {worlds.TODAY, worlds.DAY_BEFORE, worlds.OLD_DAY}
