"""When a slot is lost, and when it counts again."""

from types import MappingProxyType

import pytest

from connector.core.kis.bond_registration import RegistrationView
from connector.core.kis.slot_view import SlotView
from connector.core.slots.outage import FIRST_PROBATION_SECONDS, FORGIVEN_AFTER_SECONDS, Outages

LOST_AFTER = 120.0


def slot(registered, *states, state="CONNECTED", code=None):
    """Return the view of slot 0 with bonds in these states."""
    bonds = {str(number): RegistrationView(each, None, None) for number, each in enumerate(states)}
    return {0: SlotView(0, state, 41, registered, code, None, MappingProxyType(bonds))}


UP, DOWN = slot(1, "ACTIVE", "PENDING"), slot(0, "PENDING")


@pytest.fixture
def outages():
    """Return the outages of a slot whose session works at 0."""
    made = Outages(LOST_AFTER)
    assert made.lost(UP, 0.0) == frozenset()
    return made


def lose(outages, at):
    """Let the slot be without a session for two minutes, until it is lost."""
    assert outages.lost(DOWN, at) == frozenset()
    assert outages.lost(DOWN, at + LOST_AFTER - 0.1) == frozenset()
    assert outages.lost(DOWN, at + LOST_AFTER) == {0}
    return at + LOST_AFTER


def test_a_slot_without_a_session_is_lost_until_it_has_one(outages):
    """The first loss ends with the first bond that KIS confirms."""
    at = lose(outages, 10.0)
    assert outages.lost(DOWN, at + 1000) == {0}
    assert outages.lost(UP, at + 1001) == frozenset()


def test_a_short_outage_is_none(outages):
    """A session within the time makes the next outage count from its own beginning."""
    outages.lost(DOWN, 10.0)
    outages.lost(UP, 100.0)
    lose(outages, 110.0)


@pytest.mark.parametrize("view", [slot(0), slot(0, state="IDLE"), slot(0, "REJECTED")])
def test_a_slot_with_nothing_to_register_is_not_lost(outages, view):
    """A slot without bonds needs no session, and a refusal of a bond shows a session."""
    outages.lost(view, 10.0)
    assert outages.lost(view, 1e6) == frozenset()


def test_a_slot_without_bonds_is_lost_if_its_last_attempt_failed(outages):
    """So it is known to be lost before the bonds of another lost slot come to it."""
    outages.lost(DOWN, 10.0)
    assert outages.lost(slot(0, state="IDLE", code="OPSP8996"), 10.0 + LOST_AFTER) == {0}


@pytest.mark.parametrize("state", ["BLOCKED", "CONNECTING"])
def test_refusals_of_an_earlier_session_do_not_show_that_a_slot_works(outages, state):
    """A slot that has nothing but refused bonds is lost, too, while KIS blocks it."""
    view = slot(0, "REJECTED", state=state, code="OPSP8996")
    assert outages.lost(view, 10.0) == frozenset()
    assert outages.lost(view, 10.0 + LOST_AFTER) == {0}


def test_a_slot_that_had_no_bonds_is_lost_as_soon_as_kis_blocks_it(outages):
    """It has no session to get back, and its bonds may have waited for another slot before."""
    blocked = slot(0, "PENDING", state="BLOCKED", code="OPSP8996")
    outages.lost(slot(0, state="IDLE"), 10.0)
    assert outages.lost(slot(0, "PENDING", state="CONNECTING"), 11.0) == frozenset()
    assert outages.lost(blocked, 12.0) == {0}
    assert outages.lost(UP, 13.0) == frozenset()
    assert outages.lost(blocked, 14.0) == frozenset(), "it may get its session back"


def test_a_slot_that_was_just_taken_over_may_be_blocked_for_a_while():
    """KIS may still have the session of the last owner."""
    blocked = slot(0, "PENDING", state="BLOCKED", code="OPSP8996")
    taken = Outages(LOST_AFTER)
    assert taken.lost(blocked, 0.0) == frozenset()
    assert taken.lost(blocked, LOST_AFTER) == {0}


def test_a_flapping_slot_must_keep_its_session_for_longer_each_time(outages):
    """The second loss within an hour costs a minute of probation, the next one twice as much."""
    at = 0.0
    for probation in (0.0, FIRST_PROBATION_SECONDS, 2 * FIRST_PROBATION_SECONDS):
        at = lose(outages, at + 1)
        outages.lost(UP, at + 1)
        assert outages.lost(UP, at + 0.9 + probation) == ({0} if probation else frozenset())
        at += 1 + probation
        assert outages.lost(UP, at) == frozenset()
    at = lose(outages, at + FORGIVEN_AFTER_SECONDS)
    assert outages.lost(UP, at + 1) == frozenset()


def test_a_slot_that_was_handed_over_is_forgotten(outages):
    """A slot of another replica is not lost here."""
    at = lose(outages, 1.0)
    assert outages.lost({}, at) == frozenset()
    assert outages.lost(DOWN, at) == frozenset()
