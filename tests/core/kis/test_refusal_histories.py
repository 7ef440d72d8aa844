"""Random hours of one session with bonds that KIS refuses, some of which end the connection."""

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from connector.core.kis.failure_limit import FailureLimit
from tests.core.kis.kis_model import A, B, World
from tests.histories import count, histories

WRONG = [f"KR{number:09}0" for number in range(8)]
# A tiny world has a tiny limit, which these bonds reach together within the hour.
REPEATED_AN_HOUR = 40
FIRST_AN_HOUR = 120
# When a limit is reached, a request about each bond may be on its way.
MOST_AN_HOUR = REPEATED_AN_HOUR + FIRST_AN_HOUR + 2 * len(WRONG)
SILENT = None  # KIS does not reply
HOURS = 2
CODES = ["OPSP8992", "OPSP8993", "OPSP0009", "OPSP0007", "OPSP4242", SILENT]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from([5.0, 60.0, 900.0])),
        st.tuples(st.just("name"), st.integers(1, len(WRONG))),
        st.tuples(st.just("drop"), st.none()),
        st.tuples(st.just("reorder"), st.none()),
    ),
    min_size=1,
    max_size=8,
)


def invariant(world):
    """Check that no bond is ACTIVE that KIS does not hold."""
    assert {isin for isin, state in world.states().items() if state == "ACTIVE"} <= world.held


# Histories this long are not shrunk: that takes minutes.
@settings(max_examples=histories(10), phases=[Phase.explicit, Phase.generate])
@given(
    codes=st.lists(st.sampled_from(CODES), min_size=1, max_size=4),
    refused=st.integers(1, len(WRONG)),
    dropping=st.integers(0, 4),
    terse=st.booleans(),
    steps=STEPS,
)
@example(  # a connection that ends without a word counts as a failure, too
    codes=["OPSP0009"], refused=8, dropping=3, terse=True, steps=[("pass", 60.0), ("name", 8), ("pass", 900.0)]
)
@example(
    codes=["OPSP8992"], refused=8, dropping=0, terse=False, steps=[("name", 8), ("pass", 5.0)]
)  # lists edited all day
@example(  # a good bond is cut off again and again because other bonds end the connection
    codes=["OPSP8993", "OPSP0009"],
    refused=6,
    dropping=3,
    terse=False,
    steps=[("drop", None), ("pass", 5.0), ("reorder", None), ("name", 8)],
)
@example(codes=["OPSP0009"], refused=2, dropping=2, terse=False, steps=[("drop", None), ("pass", 60.0)])
def test_no_history_of_refusals_becomes_a_loop_at_kis(codes, refused, dropping, terse, steps):
    """Whatever lists and connections do for hours, refusals are few, and good bonds are held."""
    count("session, refused bonds")
    world = World(limit=41)
    world.session._registrations._repeated_failures = FailureLimit(REPEATED_AN_HOUR)
    world.session._registrations._first_failures = FailureLimit(FIRST_AN_HOUR)
    wrong = WRONG[:refused]
    world.errors = {isin: codes[number % len(codes)] for number, isin in enumerate(wrong)}
    world.dropping, world.is_terse = set(wrong[:dropping]), terse
    wish = [*wrong, A, B]
    world.session.want(wish, world.now)
    while world.now < HOURS * 3600.0:
        for what, value in steps:
            match what:
                case "pass":
                    world.session.data_received(world.now)
                    world.advance(value)
                case "name":
                    world.session.retry_rejected(wrong[:value])
                case "drop":
                    if world.session.is_open:
                        world.drop()
                case "reorder":
                    wish.reverse()
                    world.session.want(wish, world.now)
            invariant(world)
        world.advance(20.0)
    failed = [at for at, isin in world.failed if isin in wrong]
    assert all(later - earlier >= 3600.0 for earlier, later in zip(failed, failed[MOST_AN_HOUR:], strict=False)), (
        "KIS could call this abuse"
    )
    for isin in wrong:
        asked = [at for at, _, about in world.requests if about == isin and world.errors[isin] is not SILENT]
        assert len(asked) <= 14 * HOURS, "one bond was asked for too often"
    world.dropping.clear()
    world.advance(200.0, invariant)
    assert {A, B} <= world.held
