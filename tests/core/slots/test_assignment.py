"""Which replica gets which slot."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from connector.core.slots.assignment import Claim, assign, decode, encode

NOTHING = Claim()


def test_slots_without_a_holder_go_to_the_member_with_the_fewest():
    """Four free slots are shared evenly between two new members."""
    assert assign(range(4), {"a": NOTHING, "b": NOTHING}) == {"a": [0, 2], "b": [1, 3]}


def test_a_member_that_joins_takes_nothing_that_is_held():
    """Slots stay with their holder when a second member joins."""
    holder = Claim(3, frozenset(range(4)), frozenset(range(4)))
    assert assign(range(4), {"a": NOTHING, "b": holder}) == {"a": [], "b": [0, 1, 2, 3]}


def test_slots_of_a_member_that_left_go_to_the_others():
    """A slot that nobody claims is assigned again."""
    assert assign(range(3), {"a": Claim(2, frozenset({0})), "b": Claim(2, frozenset({1}))}) == {"a": [0, 2], "b": [1]}


def test_of_two_holders_the_one_assigned_last_wins():
    """Of two holders, the one with the later generation keeps the slot."""
    assert assign([0], {"old": Claim(1, frozenset({0})), "new": Claim(2, frozenset({0}))}) == {"old": [], "new": [0]}


def test_a_holder_with_an_open_session_wins_over_one_assigned_later():
    """Of two holders, the one with a registered bond keeps the slot."""
    old = Claim(1, frozenset({0}), frozenset({0}))
    assert assign([0], {"old": old, "new": Claim(2, frozenset({0}))}) == {"old": [0], "new": []}


def test_nobody_gets_a_slot_that_is_not_there():
    """A claim to a partition that the topic does not have is ignored."""
    assert assign([0], {"a": Claim(1, frozenset({0, 7}))}) == {"a": [0]}
    assert assign([0], {}) == {}


def test_foreign_user_data_claims_nothing():
    """Any user data is read without an exception."""
    for data in (
        b"",
        b"\xff",
        b"[]",
        b'{"generation": "x"}',
        b'{"generation": 1, "held": [[]], "open": []}',
        b"[" * 100_000,
    ):
        assert decode(data) == NOTHING


slots = st.frozensets(st.integers(0, 5))
claims = st.builds(Claim, st.integers(-1, 4), slots, slots)


@given(claims)
def test_a_claim_survives_the_wire(claim):
    """The leader decodes what a member encodes."""
    assert decode(encode(claim)) == claim


@given(st.dictionaries(st.sampled_from("abcd"), claims, min_size=1))
def test_every_slot_has_one_owner_and_no_held_slot_goes_to_a_non_holder(members):
    """Each slot gets one owner, a holder if there is one, whatever the order of the members."""
    given_slots = assign(range(5), members)
    assert sorted(itertools.chain.from_iterable(given_slots.values())) == list(range(5))
    for member, own in given_slots.items():
        for slot in own:
            holders = {name for name, claim in members.items() if slot in claim.held}
            assert not holders or member in holders
    assert assign(reversed(range(5)), dict(reversed(members.items()))) == given_slots


@given(st.dictionaries(st.sampled_from("abcd"), claims, min_size=1))
def test_an_assignment_that_is_claimed_again_stays(members):
    """A second round without a change moves no slot."""
    first = assign(range(5), members)
    again = {member: Claim(9, frozenset(own)) for member, own in first.items()}
    assert assign(range(5), again) == first
