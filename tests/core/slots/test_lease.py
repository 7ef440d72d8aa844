"""What a replica may do with its slots, in contact with the group and out of it."""

import pytest

from connector.core.slots.lease import ALWAYS, FOREVER, Lease

TIMEOUT = 10.0


@pytest.fixture
def lease():
    """Return the lease of a member to which slots 0 and 1 were assigned at 100."""
    made = Lease(TIMEOUT, FOREVER, 0.0)
    made.assign([0, 1], 100.0)
    return made


def test_a_slot_of_ours_may_be_connected_while_in_contact(lease):
    """Until the session timeout after the last confirmation no other replica can have the slot."""
    assert lease.may_connect_at(0, 109.9) == ALWAYS
    assert lease.in_contact(109.9)
    assert not lease.in_contact(110.0)


def test_slots_that_another_was_read_to_own_are_disputed_until_the_group_confirms_them(lease):
    """Only a later confirmation ends a dispute, and sessions go on meanwhile."""
    assert lease.is_undisputed(101.0)
    lease.dispute(102.0)
    assert not lease.is_undisputed(102.0)
    assert (lease.held(102.0), lease.may_connect_at(0, 102.0)) == ({0, 1}, ALWAYS)
    lease.confirm(102.0)
    assert not lease.is_undisputed(103.0)
    lease.confirm(102.1)
    assert lease.is_undisputed(103.0)
    assert not lease.is_undisputed(112.1)


def test_a_slot_of_others_may_not(lease):
    """A slot of another replica may not be connected, in contact or out of it."""
    assert lease.may_connect_at(2, 101.0) is None
    assert lease.may_connect_at(2, 1000.0) is None


def test_out_of_contact_open_sessions_are_kept(lease):
    """Open sessions are kept without a time limit: late is better than lost."""
    assert lease.held(100_000.0) == {0, 1}
    assert lease.surrenders_at == FOREVER


def test_out_of_contact_a_dropped_session_waits_twice_the_timeout(lease):
    """The wait counts from the drop, or from the last confirmation if that was later."""
    lease.record_end(0, "reset", 500.0, 150.0)
    assert lease.may_connect_at(0, 150.0) == 170.0
    lease.record_end(1, "reset", 500.0, 99.0)
    assert lease.may_connect_at(1, 150.0) == 120.0


@pytest.mark.parametrize(("cause", "seconds"), [("in_use", None), ("in_use", 3.0), ("closed", 40.0), ("reset", 1.0)])
def test_out_of_contact_a_slot_somebody_else_has_is_left_alone(lease, cause, seconds):
    """OPSP8996 or a session cut within a minute shows another owner, until contact is back."""
    lease.record_end(0, cause, seconds, 150.0)
    assert lease.may_connect_at(0, 100_000.0) is None
    lease.confirm(100_001.0)
    assert lease.may_connect_at(0, 100_001.0) == ALWAYS


@pytest.mark.parametrize(
    ("cause", "seconds"), [("reset", 60.0), ("closed", 40.1), ("silence", 1.0), ("handshake", None)]
)
def test_out_of_contact_other_ends_take_no_slot_away(lease, cause, seconds):
    """Long, silent and failed sessions, and those opened in contact, show no other owner."""
    lease.record_end(0, cause, seconds, 150.0)
    assert lease.may_connect_at(0, 150.0) == 170.0


def test_in_contact_a_refusal_takes_no_slot_away(lease):
    """A refusal in contact leaves the slot ours; only the backoff waits."""
    lease.record_end(0, "in_use", 1.0, 105.0)
    assert lease.may_connect_at(0, 106.0) == ALWAYS


def test_a_new_assignment_is_the_whole_of_what_is_ours(lease):
    """A slot that the new assignment does not name is lost."""
    lease.assign([1], 120.0)
    assert lease.held(120.0) == {1}
    assert lease.may_connect_at(0, 120.0) is None


def test_beyond_the_blind_limit_nothing_is_held_until_contact_is_back():
    """With a blind limit, an owner out of contact gives its slots up after that time."""
    lease = Lease(TIMEOUT, 30.0, 0.0)
    lease.assign([0], 100.0)
    assert lease.surrenders_at == 130.0
    assert lease.held(129.9) == {0}
    assert lease.held(130.0) == frozenset()
    assert lease.may_connect_at(0, 130.0) is None
    lease.confirm(140.0)
    assert lease.held(140.0) == {0}


def test_slots_held_in_an_earlier_run_wait_as_long_as_dropped_ones():
    """If Kafka is unreachable at start, saved slots wait twice the timeout from the start."""
    lease = Lease(TIMEOUT, FOREVER, 5.0)
    lease.use_saved([3])
    assert lease.may_connect_at(3, 5.0) == 25.0
    assert lease.may_connect_at(0, 5.0) is None
    assert not lease.in_contact(5.0)


def test_an_earlier_run_counts_for_nothing_once_the_group_answered(lease):
    """Saved slots have no effect after an assignment."""
    lease.use_saved([3])
    assert lease.held(101.0) == {0, 1}


def unshared(slots):
    """Return the lease of a connector that shares its slots with nobody."""
    lease = Lease(FOREVER, FOREVER, 0.0)
    lease.assign(slots, 0.0)
    return lease


def test_a_connector_that_shares_nothing_is_always_in_contact():
    """Whatever ended before, an unshared slot may connect, and nobody takes it away."""
    lease = unshared([0])
    lease.record_end(0, "in_use", 1.0, 5.0)
    for now in (5.0, 1e9):
        assert lease.may_connect_at(0, now) == ALWAYS
        assert (lease.in_contact(now), lease.held(now), lease.surrenders_at) == (True, {0}, FOREVER)


def test_given_up_slots_are_not_ours():
    """A replica that leaves holds nothing from then on."""
    lease = unshared([0])
    lease.give_up()
    assert (lease.held(1.0), lease.may_connect_at(0, 1.0)) == (frozenset(), None)
