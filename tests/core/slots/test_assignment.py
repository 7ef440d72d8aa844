"""Which replica gets which slot."""

import itertools
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.slots.assignment import (
    Claim,
    Fleet,
    assign,
    decode,
    decode_fleet,
    difference,
    earlier_stranger,
    encode,
)

KEYS = tuple("abcdef")
NOTHING = Claim()
NEW = Claim(keys=KEYS)


def holder(generation, held, is_open=(), keys=KEYS, **more):
    """Return the claim of a replica that holds slots."""
    return Claim(generation, frozenset(held), frozenset(is_open), keys=keys, **more)


def assigned(slots, claims, owners=MappingProxyType({})):
    """Return only the slots of each member."""
    return assign(slots, claims, owners)[0]


def test_slots_without_a_holder_go_to_the_member_with_the_fewest():
    """Four free slots are shared evenly between two new members."""
    assert assigned(range(4), {"a": NEW, "b": NEW}) == {"a": [0, 2], "b": [1, 3]}


def test_of_two_standbys_the_one_that_joined_last_is_next():
    """A slot goes to the standby that joined last; the number of slots still counts first."""
    early, late = holder(5, [], since=1), holder(5, [], since=4)
    assert assigned([0], {"a": early, "b": late}) == {"a": [], "b": [0]}
    assert assigned([0], {"a": late, "b": early}) == {"a": [0], "b": []}
    assert assigned([0, 1], {"a": early, "b": replace(late, held=frozenset([0]))}) == {"a": [1], "b": [0]}


@pytest.mark.parametrize(("owner", "moves"), [("a", 1), ("b", 1), ("c", 2)])
def test_a_rolling_update_moves_a_slot_to_an_updated_replica(owner, moves):
    """While c, b and a restart in turn, a slot moves on only if its first owner's turn is first."""
    claims = {name: holder(1, [0] if name == owner else [], since=1) for name in "abc"}
    moved = 0
    for generation, restarted in enumerate("cba", 2):
        held = 0 in claims.pop(restarted).held
        moved += held
        given = assigned([0], claims)
        claims = {name: replace(claim, held=frozenset(given[name])) for name, claim in claims.items()}
        claims[restarted] = holder(generation, [], since=generation)
    assert moved == moves


def test_a_member_that_joins_takes_nothing_that_is_held():
    """Slots stay with their holder when a second member joins."""
    assert assigned(range(4), {"a": NEW, "b": holder(3, range(4), range(4))}) == {"a": [], "b": [0, 1, 2, 3]}


def test_slots_of_a_member_that_left_go_to_the_others():
    """A slot that nobody claims is assigned again."""
    assert assigned(range(3), {"a": holder(2, [0]), "b": holder(2, [1])}) == {"a": [0, 2], "b": [1]}


def test_of_two_holders_the_one_assigned_last_wins():
    """Of two holders, the one with the later generation keeps the slot."""
    assert assigned([0], {"old": holder(1, [0]), "new": holder(2, [0])}) == {"old": [], "new": [0]}


def test_a_holder_with_an_open_session_wins_over_one_assigned_later():
    """Of two holders, the one with a registered bond keeps the slot."""
    assert assigned([0], {"old": holder(1, [0], [0]), "new": holder(2, [0])}) == {"old": [0], "new": []}


def test_slots_stay_with_their_holders_if_the_topic_loses_partitions():
    """A topic that was deleted or made anew with fewer partitions takes no slot away."""
    claims = {"a": holder(1, [0, 1]), "b": holder(1, [2])}
    for partitions in ([], [0]):
        given, fleet = assign(partitions, claims, {})
        assert given == {"a": [0, 1], "b": [2]}
        assert fleet.limits.keys() == {0, 1, 2}


def test_nobody_gets_a_slot_that_is_not_there():
    """A claim to a slot that neither the topic nor the member has is ignored."""
    assert assigned([0], {"a": holder(1, [0, 7])}) == {"a": [0]}
    assert assigned([0], {}) == {}


def test_a_slot_goes_only_to_a_member_that_can_open_it():
    """With two and three app keys, the third slot goes to the one with three, and both count it."""
    two, three = Claim(keys=("a", "b"), capacity=41), Claim(keys=("a", "b", "c"), capacity=20)
    given, fleet = assign(range(4), {"two": two, "three": three}, {})
    assert given == {"three": [0, 2], "two": [1]}
    assert fleet.limits == {0: 41, 1: 41, 2: 20}


def test_a_free_slot_goes_to_the_app_key_it_had():
    """A release with other app keys gets a slot only if nobody has the slot's own app key."""
    ours, other = Claim(keys=("a",)), Claim(keys=("x",))
    assert assigned([0], {"other": other, "we": ours}, {0: "a"}) == {"other": [], "we": [0]}
    given, fleet = assign([0], {"other": other}, {0: "a"})
    assert (given, fleet.owners) == ({"other": [0]}, {0: "x"})
    assert assign([0], {}, {0: "a"})[1].owners == {0: "a"}


def test_unlike_members_are_found_out():
    """Another number of keys, another key or another capacity is told; equal members are alike."""
    mine = Claim(keys=("a", "b"), capacity=41)
    for other in (Claim(keys=("a",), capacity=41), Claim(keys=("a", "x"), capacity=41), replace(mine, capacity=3)):
        assert "two has" in difference("one", {"one": mine, "two": other})
    assert difference("one", {"one": mine, "two": replace(mine, held=frozenset({1}))}) is None


def test_the_later_of_two_strangers_is_the_one_that_is_wrong_here():
    """Without a common app key, whoever joined first is right."""
    claims = {"one": holder(9, [0], keys=("a",), since=3), "two": holder(9, [1], keys=("x", "y"), since=5)}
    assert earlier_stranger("two", claims) == "one"
    assert earlier_stranger("one", claims) is None
    claims["two"] = replace(claims["two"], keys=("x", "a"))
    assert earlier_stranger("two", claims) is None


FOREIGN = (
    b"",
    b"\xff",
    b"[]",
    b'{"generation": "x"}',
    b'{"generation": 1, "held": [[]], "open": [], "capacity": 41, "keys": [], "since": 1}',
    b'{"generation": 1, "held": [1e999], "open": [], "capacity": 41, "keys": [], "since": 1}',
    b'{"generation": 1, "held": [-1], "open": [], "capacity": 41, "keys": [], "since": 1}',
    b'{"generation": 1, "held": [], "open": [], "capacity": 1000000000000000000000, "keys": [], "since": 1}',
    b'{"generation": 1e999, "held": [], "open": [], "capacity": 41, "keys": [], "since": 1}',
    b'{"generation": 1, "held": [], "open": []}',
    b'{"limits": {"-1": 1}, "owners": {}, "claims": {}}',
    b'{"limits": {"x": 1}, "owners": {}, "claims": {}}',
    b'{"limits": {"0": 1e999}, "owners": {}, "claims": {}}',
    b'{"limits": [], "owners": {}, "claims": {}}',
    b"[" * 100_000,
)


@pytest.mark.parametrize("data", FOREIGN)
def test_foreign_user_data_claims_nothing(data):
    """Any user data is read without an exception."""
    assert decode(data) == NOTHING
    assert decode_fleet(data) == Fleet()


slots = st.frozensets(st.integers(0, 5))
claims = st.builds(Claim, st.integers(-1, 4), slots, slots, st.integers(0, 41), st.just(KEYS), st.integers(0, 9))


@given(claims)
def test_a_claim_survives_the_wire(claim):
    """The leader decodes what a member encodes."""
    assert decode(encode(claim)) == claim


@given(st.dictionaries(st.sampled_from("abcd"), claims, min_size=1))
def test_what_the_leader_tells_survives_the_wire(members):
    """Each member decodes what the leader encodes."""
    fleet = assign(range(5), members, {})[1]
    assert decode_fleet(encode(fleet)) == fleet


@given(st.dictionaries(st.sampled_from("abcd"), claims, min_size=1))
def test_every_slot_has_one_owner_and_no_held_slot_goes_to_a_non_holder(members):
    """Each slot gets one owner, a holder if there is one, whatever the order of the members."""
    given_slots = assigned(range(5), members)
    kept = {slot for claim in members.values() for slot in claim.held}
    assert sorted(itertools.chain.from_iterable(given_slots.values())) == sorted({*range(5), *kept})
    for member, own in given_slots.items():
        for slot in own:
            holders = {name for name, claim in members.items() if slot in claim.held}
            assert not holders or member in holders
    assert assigned(reversed(range(5)), dict(reversed(members.items()))) == given_slots


@given(st.dictionaries(st.sampled_from("abcd"), claims, min_size=1))
def test_an_assignment_that_is_claimed_again_stays(members):
    """A second round without a change moves no slot."""
    first = assigned(range(5), members)
    again = {member: holder(9, own) for member, own in first.items()}
    assert assigned(range(5), again) == first
