"""The limit is learned from refusals, kept from session to session, and tried again each hour."""

import pytest

from connector.core.kis.session_limit import SessionLimit
from tests.core.kis.kis_model import A, B, C, D, World


@pytest.mark.parametrize(("learned", "value"), [(None, 41), (0, 41), (38, 38), (41, 41), (99, 41)])
def test_only_a_lower_limit_counts(learned, value):
    """A learned limit that is not below the capacity changes nothing."""
    assert SessionLimit(41, learned).value == value


def test_a_new_session_keeps_the_limit():
    """However many sessions begin, the limit stays as KIS taught it."""
    limit = SessionLimit(41, 2)
    for at in range(50):
        limit.begin(float(at))
    assert limit.value == 2


def test_one_more_is_tried_once_an_hour():
    """A full session that learned nothing for an hour allows one bond more; a refusal ends that."""
    limit = SessionLimit(4)
    limit.begin(0.0)
    limit.learn(2, 100.0)
    assert limit.try_more_at(2) == 3700.0
    limit.advance(2, 3699.0)
    assert limit.value == 2
    limit.advance(2, 3700.0)
    assert (limit.value, limit.try_more_at(2)) == (3, None)
    limit.advance(2, 9999.0)
    assert limit.value == 3, "one bond more than KIS has confirmed, not two"
    limit.learn(2, 10_000.0)
    assert (limit.value, limit.try_more_at(2)) == (2, 13_600.0)
    limit.advance(2, 13_600.0)
    limit.confirm(3)
    assert (limit.value, limit.try_more_at(3)) == (3, float("-inf")), "there was room, so the next is tried"
    limit.advance(3, 13_600.1)
    assert (limit.value, limit.try_more_at(4)) == (4, None), "never above the capacity"


@pytest.mark.parametrize(("places", "active"), [(2, {A, B}), (3, {A, B, C})])
def test_a_session_tries_one_registration_an_hour(places, active):
    """KIS is asked once an hour whether it has room for one more, and found to have more room."""
    world = World(limit=2)
    world.session.want([A, B, C, D], 0.0)
    world.advance(60.0)
    assert world.held == {A, B}
    asked, world.limit = len(world.requests), places
    world.advance(3500.0)
    assert len(world.requests) == asked
    world.advance(200.0)
    assert world.held == active
    assert {isin for isin, state in world.states().items() if state == "ACTIVE"} == active
    asked += places - 1  # after a success, the next bond is tried at once
    assert len(world.requests) == asked
    world.advance(7200.0)
    assert len(world.requests) == asked + 2
