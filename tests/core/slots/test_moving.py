"""Which bonds each slot carries while bonds move."""

from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from connector.core.kis.bond_registration import RegistrationView
from connector.core.kis.slot_view import SlotView
from connector.core.slots.moving import WAIT_SECONDS, Moves, with_attempts
from connector.core.slots.placement import placement


def slot(number, active=(), capacity=41, pending=(), waiting=()):
    """Make the view of a slot with some bonds registered and others requested."""
    views = {isin: RegistrationView("ACTIVE", None, None) for isin in active} | {
        isin: RegistrationView("PENDING", None, None) for isin in pending
    }
    views |= {isin: RegistrationView("WAITING_CAPACITY", "OPSP0008", None) for isin in waiting}
    return SlotView(number, "CONNECTED", capacity, len(views), None, None, MappingProxyType(views))


def nowhere(isin, number):
    """Return that no bond is active on the slot of another replica."""
    return False


def carried(placement, slots, is_active_elsewhere, refused=()):
    """Return what slots carry when bonds begin to move."""
    return Moves().carried(placement, slots, is_active_elsewhere, refused, 0.0)


def carried_late(placement, slots, is_active_elsewhere, refused=()):
    """Return what slots carry when the moving bonds have had their time."""
    moves = Moves()
    moves.carried(placement, slots, is_active_elsewhere, refused, 5.0)
    return moves.carried(placement, slots, is_active_elsewhere, refused, 5.0 + WAIT_SECONDS)


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


def test_new_bonds_of_a_full_slot_wait_for_the_moving_ones():
    """The least important new bonds wait; as soon as a bond has moved, one of them is carried."""
    full = slot(0, active=["A", "B"], capacity=2)
    goal = {"C": 0, "A": 1, "B": 2}
    assert carried(goal, {0: full}, nowhere) == {0: ["A", "B"]}
    assert carried(goal, {0: full}, lambda *bond: bond == ("A", 1)) == {0: ["C", "B"]}
    assert carried({"C": 0, "D": 0, "A": 1}, {0: full}, nowhere) == {0: ["C", "A"]}


def test_new_bonds_of_a_full_slot_do_not_wait_for_ever():
    """A bond that does not arrive in time is released first, the least important one first."""
    full = slot(0, active=["A", "B"], capacity=2)
    assert carried_late({"A": 1, "B": 1, "C": 0, "D": 0}, {0: full}, nowhere) == {0: ["C", "D"]}
    assert carried_late({"A": 1, "B": 1, "C": 0, "D": 1}, {0: full}, nowhere) == {0: ["C", "A"]}
    assert carried_late({"A": 1, "B": 1}, {0: full}, nowhere) == {0: ["A", "B"]}


def test_the_time_of_a_move_begins_anew_after_the_bond_arrived():
    """A bond that moves for a second time is awaited again."""
    moves, slots, goal = Moves(), {0: slot(0, active=["A"], capacity=1)}, {"B": 0, "A": 1}
    assert moves.carried(goal, slots, nowhere, (), 0.0) == {0: ["A"]}
    assert moves.carried(goal, slots, lambda *_: True, (), 1.0) == {0: ["B"]}
    assert moves.carried(goal, slots, nowhere, (), WAIT_SECONDS) == {0: ["A"]}
    assert moves.carried(goal, slots, nowhere, (), 2 * WAIT_SECONDS - 0.1) == {0: ["A"]}
    assert moves.carried(goal, slots, nowhere, (), 2 * WAIT_SECONDS) == {0: ["B"]}


def test_a_bond_whose_time_is_over_makes_room_for_one_that_is_awaited():
    """What moves for the first time stays, even if it is less important."""
    moves, goal = Moves(), {"C": 0, "A": 1, "B": 1}
    moves.carried(goal, {0: slot(0, active=["A"], capacity=2)}, nowhere, (), 0.0)
    slots = {0: slot(0, active=["A", "B"], capacity=2)}
    assert moves.carried(goal, slots, nowhere, (), WAIT_SECONDS) == {0: ["C", "B"]}


def test_a_bond_for_which_kis_had_no_room_waits_like_a_new_one():
    """KIS has fewer places than the settings say, and a bond moves away for that reason."""
    slots = {0: slot(0, active=["A", "B"], waiting=["C"], capacity=2)}
    assert carried({"B": 0, "C": 0, "A": 1}, slots, nowhere) == {0: ["B", "A"]}


def test_a_bond_that_was_asked_for_goes_on():
    """A request under way is not taken back for a bond that moves."""
    slots = {0: slot(0, active=["A"], pending=["B"], capacity=1)}
    assert carried({"A": 1, "B": 0}, slots, nowhere) == {0: ["B"]}


def test_a_refused_bond_takes_no_room_from_one_that_moves():
    """Beside a refused bond, a full slot still has room for a bond that moves away."""
    slots = {0: slot(0, active=["A"], capacity=1)}
    assert carried({"A": 1, "B": 0}, slots, nowhere, refused={"B"}) == {0: ["B", "A"]}


def test_a_lost_slot_tries_with_one_bond():
    """Without a good bond of its own, a lost slot keeps asking for one, and for the same one."""

    def tried(placement, view, refused=()):
        slots = {0: view}
        return with_attempts(carried(placement, slots, nowhere, refused), placement, slots, refused, [0])

    lost = slot(0, pending=["C"])
    assert tried({"A": 1, "C": 1}, lost) == {0: ["C"]}
    assert tried({"A": 1, "C": 1}, slot(0)) == {0: ["A"]}
    assert tried({"A": 1, "C": 0}, lost) == {0: ["C"]}
    assert tried({"A": 1}, slot(0), {"A"}) == {0: []}
    assert tried({"A": 1, "B": 0}, slot(0), {"B"}) == {0: ["B", "A"]}


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
    st.booleans(),
)
def test_moves_end_with_every_placed_bond_active_and_never_exceed_capacity(desired, capacities, held, alone):
    """From any start, registering what is carried and releasing the rest reaches the placement.

    Until a move's time is over, no placed bond is released before its new slot has it. One replica
    has all slots, or each has a replica `alone`.
    """
    goal = placement(desired, capacities)
    active = {number: set(sorted(held.get(number, ()))[: capacities[number]]) for number in capacities}
    replicas = [[number] for number in capacities] if alone else [[*capacities]]
    all_moves = [Moves() for _ in replicas]
    for turn in range(10):
        slots = {number: slot(number, active[number], capacities[number]) for number in capacities}
        now, wishes = turn * WAIT_SECONDS / 5, {}
        for numbers, moves in zip(replicas, all_moves, strict=True):
            own = {number: slots[number] for number in numbers}
            wishes |= moves.carried(goal, own, lambda isin, number, now=active: isin in now[number], (), now)
        for number, wish in wishes.items():
            assert len(wish) <= capacities[number]
            kept = {isin for isin in active[number] & goal.keys() if isin not in active[goal[isin]]}
            assert now >= WAIT_SECONDS or kept <= set(wish)
        active = {number: set(wish) for number, wish in wishes.items()}
    assert {isin: number for number, own in active.items() for isin in own} == goal
