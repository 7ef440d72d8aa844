"""Which bonds each slot carries while bonds move."""

from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from connector.core.kis.bond_registration import RegistrationView
from connector.core.kis.slot_view import SlotView
from connector.core.slots.moving import carried
from connector.core.slots.placement import placement


def slot(number, active=(), capacity=41, pending=()):
    """Make the view of a slot with some bonds registered and others requested."""
    views = {isin: RegistrationView("ACTIVE", None, None) for isin in active} | {
        isin: RegistrationView("PENDING", None, None) for isin in pending
    }
    return SlotView(number, "CONNECTED", capacity, len(views), None, None, MappingProxyType(views))


def nowhere(isin, number):
    """Return that no bond is active on the slot of another replica."""
    return False


def test_a_slot_carries_what_is_placed_there_in_order_of_importance():
    """A slot carries neither bonds of other slots nor waiting bonds."""
    assert carried({"A": 1, "B": 0, "D": 1}, {1: slot(1)}, nowhere) == {1: ["A", "D"]}


def test_a_bond_that_moves_stays_until_it_is_active_where_it_goes():
    """A leaving bond comes after the bonds that are placed here."""
    slots = {0: slot(0, active=["A"]), 1: slot(1, pending=["A"])}
    assert carried({"A": 1, "B": 0}, slots, nowhere) == {0: ["B", "A"], 1: ["A"]}
    assert carried({"A": 1, "B": 0}, slots | {1: slot(1, active=["A"])}, nowhere) == {0: ["B"], 1: ["A"]}


def test_a_bond_that_moves_to_another_replica_stays_as_well():
    """A bond that moves to another replica's slot stays until it is active there."""
    slots = {0: slot(0, active=["A", "B"])}
    assert carried({"A": 5, "B": 5}, slots, lambda isin, number: (isin, number) == ("B", 5)) == {0: ["A"]}


def test_without_room_a_bond_is_released_first():
    """A full slot keeps no leaving bond; with room for one it keeps the more important one."""
    full = slot(0, active=["A", "B"], capacity=2)
    assert carried({"A": 1, "B": 1, "C": 0, "D": 0}, {0: full}, nowhere) == {0: ["C", "D"]}
    assert carried({"A": 1, "B": 1, "C": 0, "D": 1}, {0: full}, nowhere) == {0: ["C", "A"]}


def test_a_refused_bond_takes_no_room_from_one_that_moves():
    """Beside a refused bond, a full slot still has room for a bond that moves away."""
    slots = {0: slot(0, active=["A"], capacity=1)}
    assert carried({"A": 1, "B": 0}, slots, nowhere, refused={"B"}) == {0: ["B", "A"]}


def test_a_lost_slot_tries_with_one_bond():
    """Without a good bond of its own, a lost slot keeps asking for one, and for the same one."""
    lost = slot(0, pending=["C"])
    assert carried({"A": 1, "C": 1}, {0: lost}, nowhere, lost=[0]) == {0: ["C"]}
    assert carried({"A": 1, "C": 1}, {0: slot(0)}, nowhere, lost=[0]) == {0: ["A"]}
    assert carried({"A": 1, "C": 0}, {0: lost}, nowhere, lost=[0]) == {0: ["C"]}
    assert carried({"A": 1}, {0: slot(0)}, nowhere, lost=[0], refused={"A"}) == {0: []}
    assert carried({"A": 1, "B": 0}, {0: slot(0)}, nowhere, lost=[0], refused={"B"}) == {0: ["B", "A"]}


def test_only_an_active_bond_stays_while_it_moves():
    """A leaving bond that KIS has not confirmed on the old slot is carried only by the new slot."""
    assert carried({"A": 1}, {0: slot(0, pending=["A"])}, nowhere) == {0: []}


def test_a_bond_that_is_not_wanted_or_must_wait_is_released():
    """A bond that loses its place is not kept."""
    assert carried({}, {0: slot(0, active=["A", "B"])}, nowhere) == {0: []}


@given(
    st.lists(st.sampled_from("ABCDEF"), unique=True),
    st.dictionaries(st.integers(0, 2), st.integers(0, 4), min_size=1),
    st.dictionaries(st.integers(0, 2), st.sets(st.sampled_from("ABCDEF"), max_size=4)),
)
def test_moves_end_with_every_placed_bond_active_and_never_exceed_capacity(desired, capacities, held):
    """From any start, registering what is carried and releasing the rest reaches the placement."""
    goal = placement(desired, capacities)
    active = {number: set(sorted(held.get(number, ()))[: capacities[number]]) for number in capacities}
    for _ in range(4):
        slots = {number: slot(number, active[number], capacities[number]) for number in capacities}
        wishes = carried(goal, slots, nowhere)
        for number, wish in wishes.items():
            assert len(wish) <= capacities[number]
        before = set().union(*active.values()) & goal.keys()
        active = {number: set(wish) for number, wish in wishes.items()}
        assert all(len(own) <= capacities[number] for number, own in active.items())
        assert goal.keys() >= before
    assert {isin: number for number, own in active.items() for isin in own} == goal
