import json
from hashlib import blake2b
from itertools import count
from random import Random
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.core.bonds.isin import with_check_digit
from connector.core.lists.subscription import ControlRecord, Lists, Position
from connector.core.slots.placement import Places, place, placement
from tests.core.lists.at_once import apply, desired, from_entries
from tests.cpu_time import is_within

ISINS = [f"KR{number:09d}0" for number in range(400)]
worlds = st.tuples(
    st.lists(st.sampled_from(ISINS), max_size=60), st.dictionaries(st.integers(0, 7), st.integers(-1, 12), max_size=6)
)


@given(worlds)
def test_first_of_the_desired_are_placed_within_capacity(world):
    """Exactly the first bonds that fit are placed, and no slot exceeds its capacity."""
    desired, capacities = world
    placed = placement(desired, capacities)
    room = sum(max(0, capacity) for capacity in capacities.values())
    assert list(placed) == list(dict.fromkeys(desired))[:room]
    for slot in capacities:
        assert list(placed.values()).count(slot) <= max(0, capacities[slot])


@given(worlds, st.randoms(use_true_random=False))
def test_order_decides_who_not_where(world, random):
    """While all bonds fit, their order changes no placement."""
    desired, capacities = world
    desired = list(dict.fromkeys(desired))[: sum(max(0, capacity) for capacity in capacities.values())]
    shuffled = random.sample(desired, len(desired))
    assert placement(desired, capacities) == placement(shuffled, capacities)


@given(st.integers(0, 398), st.integers(1, 6), st.integers(0, 40))
def test_one_edit_moves_few_others(start, slots, spare):
    """One more bond moves only a short chain of others, even if every slot is nearly full."""
    capacities = dict.fromkeys(range(slots), 41)
    count = max(1, 41 * slots - spare)
    desired = [ISINS[(start + offset) % 400] for offset in range(count)]
    before, after = placement(desired[:-1], capacities), placement(desired, capacities)
    assert sum(before[isin] != after[isin] for isin in before) <= 2 * slots


def test_every_replica_computes_the_same():
    """The answer depends on the inputs alone; this test pins it for one world."""
    assert placement(ISINS[:6], {2: 2, 0: 2, 1: 2}) == dict(zip(ISINS, (2, 1, 0, 1, 0, 2), strict=False))


def test_no_slots_place_nothing():
    """Without capacity all bonds wait."""
    assert placement(ISINS, {0: 0}) == {}


def weight(isin, slot):
    """Return the weight of a bond on a slot; every replica, of each version, must find the same."""
    return blake2b(f"{slot}|{isin}".encode(), digest_size=8).digest()


@given(worlds)
def test_the_heaviest_pairs_are_chosen_first(world):
    """The answer equals choosing the heaviest possible pair of bond and slot, again and again."""
    wanted, capacities = world
    room = {slot: capacity for slot, capacity in capacities.items() if capacity > 0}
    placed = list(dict.fromkeys(wanted))[: sum(room.values())]
    expected = {}
    for _, isin, slot in sorted(((weight(isin, slot), isin, slot) for isin in placed for slot in room), reverse=True):
        if isin not in expected and room[slot] > 0:
            expected[isin] = slot
            room[slot] -= 1
    assert placement(wanted, capacities) == expected


# A fleet: lists change, sessions learn limits, slots are lost and return. Three replicas read it.

BONDS = [with_check_digit(f"KR{number:09}") for number in range(12)]
LISTS = st.tuples(
    st.just("write"),
    st.sampled_from("abc"),
    st.lists(st.sampled_from(BONDS), max_size=8),
    st.integers(3, 6),
    st.integers(0, 2),
    st.booleans(),
)
STEPS = st.lists(
    st.one_of(
        LISTS,
        st.tuples(st.just("remove"), st.sampled_from("abc")),
        st.tuples(st.just("learn"), st.integers(0, 3), st.integers(1, 4)),
        st.tuples(st.just("lose"), st.integers(0, 3)),
    ),
    max_size=12,
)


class Fleet:
    """What all replicas read: the lists and each slot's capacity, 0 for a lost slot."""

    def __init__(self):
        self.lists = Lists()
        self.capacities = dict.fromkeys(range(4), 3)
        self._offsets = count()

    def write(self, name, bonds, priority, second, paused):
        at = f"2026-01-02T00:00:0{second}Z"
        self.put(
            name,
            json.dumps({"instruments": bonds, "priority": priority, "requested_at": at, "paused": paused}).encode(),
        )

    def remove(self, name):
        self.put(name, None)

    def put(self, name, value):
        self.lists = apply(self.lists, ControlRecord(name.encode(), value, Position(0, next(self._offsets)), 0))

    def learn(self, slot, limit):
        self.capacities[slot] = limit

    def lose(self, slot):
        self.capacities[slot] = 0


@settings(max_examples=300)
@given(STEPS, st.randoms(use_true_random=False))
def test_any_fleet_places_by_rank_within_capacity_and_alike(steps, random):
    """After every change replicas agree, and no bond waits while a lesser one has a place."""
    fleet = Fleet()
    for step, *arguments in steps:
        getattr(fleet, step)(*arguments)
        ranked = desired(fleet.lists)
        placed = placement([bond.isin for bond in ranked], fleet.capacities)
        carried = list(placed.values())
        assert all(carried.count(slot) <= capacity for slot, capacity in fleet.capacities.items())
        assert len(placed) == min(len(ranked), sum(fleet.capacities.values()))
        running = [bond for bond in ranked if bond.isin in placed]
        waiting = [bond for bond in ranked if bond.isin not in placed]
        for waits in waiting:
            assert all(runs.priority >= waits.priority for runs in running)
            assert all(_rank(runs) < _rank(waits) for runs in running)
        for _ in range(2):
            assert _as_another_replica(fleet, random) == placed


def _rank(bond):
    return (-bond.priority, bond.requested_at, bond.isin)


def _as_another_replica(fleet, random):
    """Return the placement of a replica that met lists and slots in another order."""
    names = random.sample(sorted(fleet.lists.entries), len(fleet.lists.entries))
    lists = from_entries({name: fleet.lists.entries[name] for name in names})
    slots = random.sample(sorted(fleet.capacities), len(fleet.capacities))
    return placement([bond.isin for bond in desired(lists)], {slot: fleet.capacities[slot] for slot in slots})


@given(STEPS, st.integers(0, 3))
def test_a_waiting_bond_steps_in_as_soon_as_there_is_room(steps, slot):
    """One more place goes to the first waiting bond, and every placed bond keeps a place."""
    fleet = Fleet()
    for step, *arguments in steps:
        getattr(fleet, step)(*arguments)
    ranked = [bond.isin for bond in desired(fleet.lists)]
    before = placement(ranked, fleet.capacities)
    fleet.learn(slot, fleet.capacities[slot] + 1)
    after = placement(ranked, fleet.capacities)
    assert list(after) == ranked[: len(before) + 1]


MOVES = [
    # slots, share of places in use; on average: bonds that move for one more bond, and the share
    # that moves for a lost slot
    (4, 0.8, 0.1, 0.06),
    (4, 1.0, 2.0, 0.06),
    (25, 0.8, 0.2, 0.01),
    (25, 1.0, 4.0, 0.05),
]


@pytest.mark.parametrize(("slots", "load", "for_one_more", "for_a_loss"), MOVES)
def test_few_bonds_move(slots, load, for_one_more, for_a_loss):
    """On average, one more bond moves almost no others, and a lost slot few of other slots."""
    random, capacities = Random(7), dict.fromkeys(range(slots), 41)
    moves, shares = [], []
    for _ in range(20):
        wanted = random.sample(range(5000), int(41 * slots * load))
        wanted = [with_check_digit(f"KR{number:09}") for number in wanted]
        before, after = placement(wanted[:-1], capacities), placement(wanted, capacities)
        moves.append(sum(before[isin] != after[isin] for isin in before))
        lost = random.randrange(slots)
        left = placement(wanted, capacities | {lost: 0})
        stayed = [isin for isin in left if after[isin] != lost]
        shares.append(sum(after[isin] != left[isin] for isin in stayed) / len(stayed))
    assert mean(moves) <= for_one_more
    assert mean(shares) <= for_a_loss


def test_a_thousand_bonds_over_many_slots_are_placed_at_once():
    """An edit among 10,000 desired bonds for 25 sessions does not delay the reader of the feed."""
    wanted, capacities = [f"KR{number:09}0" for number in range(10_000)], dict.fromkeys(range(25), 41)
    placement(wanted, capacities)
    edits = count(1)
    assert is_within(0.02, lambda: placement(wanted[next(edits) :], capacities))


def test_refused_bonds_come_last_and_take_no_place():
    """Refused bonds stay on their slot, and good bonds get the places."""
    places = Places({0: 2}, {}, {"A": 0, "B": 0})
    assert list(place("ABCD", places).items()) == [("C", 0), ("D", 0), ("A", 0), ("B", 0)]


def test_a_slot_without_a_session_gets_only_what_fits_nowhere_else():
    """The most important bonds go to slots with a session, the next to the others."""
    assert place("ABCD", Places({0: 2}, {1: 1}, {})) == {"A": 0, "B": 0, "C": 1}
    assert place("AB", Places({0: 2}, {1: 1}, {})) == {"A": 0, "B": 0}
    assert place("AB", Places({}, {1: 1}, {})) == {"A": 1}
