"""Random histories of one session against a tiny KIS that loses replies and drops sockets."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.core.kis.session_limit import TRY_MORE_SECONDS
from tests.core.kis.kis_model import REFUSED, A, B, C, World
from tests.histories import count, histories

FATES = st.lists(st.sampled_from(["now", "lost", "trouble", "drop", "unread", 0.3, 3.0, 7.0, 12.0]), max_size=12)
WISHES = st.sampled_from([[], [A], [A], [B], [A, B], [B, A], [REFUSED, A], [A, REFUSED, B]])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("want"), WISHES),
        st.tuples(st.just("want"), st.sampled_from([[], [A]])),
        st.tuples(st.just("pass"), st.sampled_from([0.1, 0.3, 1.0, 4.0, 6.0])),
        st.tuples(st.just("drop"), st.none()),
        st.tuples(st.just("retry"), st.none()),
    ),
    max_size=14,
)


def invariant(world):
    """Check what must be true at every moment."""
    active = {isin for isin, state in world.states().items() if state == "ACTIVE"}
    assert active <= world.held, "a bond is ACTIVE that KIS does not send"
    registrations = world.session._registrations
    # Whatever KIS holds is counted, or its reply is still on the way.
    pending = world.mail or not world.session.is_open
    assert pending or world.held <= {isin for isin, bond in registrations._bonds.items() if bond.held}, (
        "KIS holds a bond that we do not count"
    )


@pytest.mark.parametrize("limit", [1, 2])
@pytest.mark.parametrize("anonymous", [False, True])
@example(
    fates=["now", "lost"], steps=[("want", [B, A]), ("pass", 6.0)], last=[A]
)  # a lost refusal must not become a loop
@example(
    fates=[7.0], steps=[("want", [REFUSED, A]), ("pass", 4.0)], last=[A, B]
)  # a late unnamed refusal is not the next bond's
@example(
    fates=["now", 7.0, 7.0], steps=[("want", [B, A]), ("pass", 6.0)], last=[A]
)  # two late refusals after the room fell free
@settings(max_examples=histories(300))
@given(fates=FATES, steps=STEPS, last=WISHES)
def test_any_history_converges_truthfully(limit, anonymous, fates, steps, last):
    """After any history KIS holds what fits, and no bond is ever ACTIVE that KIS does not send."""
    count("session")
    world = World(fates, limit, anonymous=anonymous)
    for what, value in steps:
        match what:
            case "want":
                world.session.want(value, world.now)
            case "pass":
                world.advance(value, invariant)
            case "drop":
                if world.session.is_open:
                    world.drop()
            case "retry":
                world.session.retry_rejected([REFUSED])
        invariant(world)
    world.session.want(last, world.now)
    world.fates.clear()
    world.advance(200.0, invariant)
    settled = len(world.requests)
    world.advance(100.0, invariant)
    assert len(world.requests) == settled, "KIS was asked again although nothing was open"
    states = world.states()
    good = [isin for isin in last if isin != REFUSED]
    assert len(world.held) == min(limit, len(good))
    assert world.held <= set(good)
    assert {isin for isin, state in states.items() if state == "ACTIVE"} == world.held
    assert all(states[isin] == "WAITING_CAPACITY" for isin in good if isin not in world.held)
    assert REFUSED not in last or states[REFUSED] == ("REJECTED" if len(last) <= limit else states[REFUSED])
    assert "PENDING" not in states.values()


@settings(max_examples=histories(100))
@given(
    limit=st.integers(1, 3),
    turns=st.lists(
        st.tuples(st.lists(st.sampled_from([A, B, C]), unique=True), st.floats(0.1, 20.0)), min_size=2, max_size=5
    ),
    fates=FATES,
)
@example(limit=1, turns=[([A], 1.0), ([B], 1.0)], fates=[])  # two bonds take the only place from one another
@example(limit=1, turns=[([A, B], 5.0), ([B, C], 5.0), ([C, A], 5.0)], fates=[])
@example(limit=3, turns=[([A], 2.0), ([], 2.0)], fates=[])
@example(
    limit=2, turns=[([A, B], 2.5), ([A], 2.5), ([C, A], 1.0)], fates=["trouble", "lost", "now", 0.3]
)  # a release overtakes a refusal
@example(
    limit=2, turns=[([C, B], 0.1), ([B, A], 12.0)], fates=["lost", 12.0, 12.0, 0.3, 7.0]
)  # the limit is learned from a refusal that others overtook
@example(limit=2, turns=[([B, C, A], 2.5), ([C, A, B], 2.5)], fates=["lost", 0.3, 12.0, 12.0])
def test_no_history_of_wishes_becomes_a_loop_at_kis(limit, turns, fates):
    """Wishes that alternate for an hour cost few requests; when they stop, KIS holds what fits.

    A limit that is too low, learned from an overtaken refusal, is raised by one every hour.
    """
    count("session, wishes for an hour")
    world = World(fates, limit)
    while world.now < 3600.0:
        for wish, seconds in turns:
            world.session.want(wish[:limit], world.now)
            world.advance(seconds, invariant)
    assert len(world.requests) <= 110, "KIS was asked too often"
    last = turns[-1][0][:limit]
    world.advance(1300.0 + limit * TRY_MORE_SECONDS, invariant)
    assert {isin for isin, state in world.states().items() if state == "ACTIVE"} == world.held == set(last)
