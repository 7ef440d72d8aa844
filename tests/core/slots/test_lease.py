"""What a replica may do with its slots, in contact with the group and out of it."""

import pytest

from connector.core.slots.lease import ALWAYS, Lease, Unshared

TIMEOUT = 10.0


@pytest.fixture
def lease():
    """Give a lease of a member that was assigned slots 0 and 1 at 100."""
    made = Lease(TIMEOUT, None, 0.0)
    made.assigned([0, 1], 100.0)
    return made


def test_a_slot_of_ours_may_be_connected_while_in_contact(lease):
    """Up to the session timeout after the last word nobody else can have it."""
    assert lease.may_connect_at(0, 109.9) == ALWAYS
    assert lease.in_contact(109.9)
    assert not lease.in_contact(110.0)


def test_slots_that_another_was_read_to_own_are_disputed_until_the_group_confirms_them(lease):
    """A word of the group from before, or of that instant, confirms nothing; sessions and connections do not depend on it."""
    assert lease.is_undisputed(101.0)
    lease.contested(102.0)
    assert not lease.is_undisputed(102.0)
    assert (lease.held(102.0), lease.may_connect_at(0, 102.0)) == ({0, 1}, ALWAYS)
    lease.heard(102.0)
    assert not lease.is_undisputed(103.0)
    lease.heard(102.1)
    assert lease.is_undisputed(103.0)
    assert not lease.is_undisputed(112.1)


def test_a_slot_of_others_may_not(lease):
    """Neither in contact nor out of it."""
    assert lease.may_connect_at(2, 101.0) is None
    assert lease.may_connect_at(2, 1000.0) is None


def test_out_of_contact_open_sessions_are_kept(lease):
    """Late is better than lost."""
    assert lease.held(100_000.0) == {0, 1}
    assert lease.surrenders_at(100_000.0) is None


def test_out_of_contact_a_dropped_session_waits_twice_the_timeout(lease):
    """Counted from the drop, or from the last word where the drop was before it."""
    lease.ended(0, "reset", 500.0, 150.0)
    assert lease.may_connect_at(0, 150.0) == 170.0
    lease.ended(1, "reset", 500.0, 99.0)
    assert lease.may_connect_at(1, 150.0) == 120.0


@pytest.mark.parametrize(("cause", "seconds"), [("in_use", None), ("in_use", 3.0), ("closed", 40.0), ("reset", 1.0)])
def test_out_of_contact_a_slot_somebody_else_has_is_left_alone(lease, cause, seconds):
    """OPSP8996, or being thrown out within a minute of a blind connection, says so; only contact brings it back."""
    lease.ended(0, cause, seconds, 150.0)
    assert lease.may_connect_at(0, 100_000.0) is None
    lease.heard(100_001.0)
    assert lease.may_connect_at(0, 100_001.0) == ALWAYS


@pytest.mark.parametrize(
    ("cause", "seconds"), [("reset", 60.0), ("closed", 40.1), ("silence", 1.0), ("handshake", None)]
)
def test_out_of_contact_other_ends_take_no_slot_away(lease, cause, seconds):
    """A long session, one opened in contact, which ended at 110, a silent one and a failed handshake show nobody else."""
    lease.ended(0, cause, seconds, 150.0)
    assert lease.may_connect_at(0, 150.0) == 170.0


def test_in_contact_a_refusal_takes_no_slot_away(lease):
    """The governor waits; the slot stays ours."""
    lease.ended(0, "in_use", 1.0, 105.0)
    assert lease.may_connect_at(0, 106.0) == ALWAYS


def test_a_new_assignment_is_the_whole_of_what_is_ours(lease):
    """What it does not name is lost."""
    lease.assigned([1], 120.0)
    assert lease.held(120.0) == {1}
    assert lease.may_connect_at(0, 120.0) is None


def test_beyond_the_blind_limit_nothing_is_held_until_contact_is_back():
    """An operator may prefer a quick hand-over."""
    lease = Lease(TIMEOUT, 30.0, 0.0)
    lease.assigned([0], 100.0)
    assert lease.surrenders_at(100.0) == 130.0
    assert lease.held(129.9) == {0}
    assert lease.held(130.0) == frozenset()
    assert lease.may_connect_at(0, 130.0) is None
    assert lease.surrenders_at(130.0) is None
    lease.heard(140.0)
    assert lease.held(140.0) == {0}


def test_slots_held_in_an_earlier_run_wait_as_long_as_dropped_ones():
    """Kafka unreachable at start: the blind rule, counted from the start."""
    lease = Lease(TIMEOUT, None, 5.0)
    lease.remembered([3], 5.0)
    assert lease.may_connect_at(3, 5.0) == 25.0
    assert lease.may_connect_at(0, 5.0) is None
    assert not lease.in_contact(5.0)


def test_an_earlier_run_counts_for_nothing_once_the_group_answered(lease):
    """The assignment stays."""
    lease.remembered([3], 101.0)
    assert lease.held(101.0) == {0, 1}


def test_a_connector_that_shares_nothing_may_always_connect():
    """Whatever ended before."""
    unshared = Unshared()
    unshared.ended(0, "in_use", 1.0, 5.0)
    assert unshared.may_connect_at(7, 5.0) == ALWAYS
