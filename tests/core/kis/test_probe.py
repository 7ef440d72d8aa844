"""Probes for registrations that KIS has forgotten."""

from itertools import pairwise

import pytest

from connector.core.kis.probe import Probe
from connector.core.kis.reply_codes import Reaction
from tests.core.kis.kis_model import PERIOD, A, B, C, Probed


def test_the_bond_that_was_silent_longest_is_asked_for():
    """Every five minutes one bond is asked for; one that ticks is not, and each has its turn."""
    world = Probed(A, B, C)
    world.live(290.0, A)
    assert world.asked() == []
    world.live(PERIOD, A)
    assert world.asked() == [B]
    world.live(PERIOD, A)
    assert world.asked() == [C]
    world.live(PERIOD, A)
    assert world.asked() == [B]
    assert set(world.states().values()) == {"ACTIVE"}
    assert (world.losses, world.probe.stopped) == ([], None)


def test_a_held_bond_stays_active_while_it_is_asked_for():
    """A probe whose answer says OPSP0002 changes nothing, not even for a moment."""
    world = Probed(A)
    world.fates = [3.0]
    world.live(301.0)
    assert world.asked() == [A]
    assert world.states() == {A: "ACTIVE"}
    assert world.session.view.registered == 1


@pytest.mark.parametrize("code", [None, "OPSP0007", "OPSP0009"])
def test_a_bond_without_a_clear_answer_keeps_no_other_from_its_turn(code):
    """KIS does not say whether it holds a bond; the others are asked for in their turns."""
    world = Probed(A, B, C)
    world.errors = {A: code}
    world.live(290.0)
    world.forget(B)
    world.live(6 * PERIOD)
    assert [loss.isin for loss in world.losses] == [B]
    assert world.held == {A, B, C}


def test_nothing_is_asked_while_the_market_is_closed():
    """Silence at night says nothing; the next day begins with a whole period."""
    world = Probed(A)
    world.market_is_open = False
    world.live(4 * PERIOD)
    assert world.asked() == []
    world.market_is_open = True
    world.live(PERIOD)
    assert world.asked() == [A]


def test_zero_means_never():
    """With kis.probe_seconds 0 no bond is asked for, however long it is silent."""
    world = Probed(A, period=0.0)
    world.live(10 * PERIOD)
    assert world.asked() == []


def test_lost_registrations_are_found_and_made_again():
    """OPSP0000 to one probe puts all bonds in doubt: each is confirmed again, and told if lost."""
    world = Probed(A, B, C)
    world.live(200.0, A, B)
    world.held.clear()
    world.held.add(C)
    world.ticked[C] = world.now + 0.5
    world.live(99.0)
    assert set(world.states().values()) == {"ACTIVE"}
    world.live(2.0)
    assert world.asked() == [A, B, C]
    assert world.held == {A, B, C}
    assert set(world.states().values()) == {"ACTIVE"}
    assert [(lost.isin, lost.why) for lost in world.losses] == [(A, "probe"), (B, "doubt")]
    assert world.losses[0].silent_seconds == pytest.approx(96, abs=2)
    world.live(PERIOD - 10)
    assert world.asked() == []
    assert world.probe.stopped is None


def test_doubted_bonds_keep_the_pace():
    """The bonds put in doubt are asked for at the usual pace."""
    isins = [f"KR{number:09}0" for number in range(10)]
    world = Probed(*isins)
    world.held.clear()
    world.live(302.0)
    times = [at for at, _, _ in world.requests[10:]]
    assert len(times) == 10
    assert all(later - earlier >= 0.2 - 1e-9 for earlier, later in pairwise(times))


def test_a_kis_that_registers_held_bonds_anew_is_not_asked_again():
    """OPSP0000 twice for a bond that ticked in between is no loss: the probes stop."""
    world = Probed(A, B)
    world.register = lambda isin: world.held.add(isin) or "OPSP0000"
    world.live(10 * PERIOD, A, B)
    assert world.probe.stopped == "KIS answered OPSP0000 twice for a bond that ticked in between"
    assert len(world.asked()) <= 4
    assert len(world.losses) <= 3
    assert set(world.states().values()) == {"ACTIVE"}
    world.drop()
    world.live(3 * PERIOD)
    assert len(world.asked()) == 2, "a new session began to probe again"


def test_two_real_losses_do_not_stop_the_probes():
    """A bond that was silent between two losses was lost twice."""
    world = Probed(A)
    for _ in range(2):
        world.held.clear()
        world.live(PERIOD + 1)
    assert len(world.losses) == 2
    assert world.probe.stopped is None


@pytest.mark.parametrize(("cause", "stops"), [("reset", True), ("closed", True), ("stop", False), ("silence", False)])
@pytest.mark.parametrize("seconds", [4.0, 6.0])
def test_a_session_that_ends_just_after_a_probe_ends_the_probes(cause, stops, seconds):
    """Within five seconds KIS may have ended the session because of the probe."""
    world = Probed(A)
    world.live(300.1)
    assert world.asked() == [A]
    world.now += seconds - (world.now - world.requests[-1][0])
    world.session.closed(cause, None, None, world.now)
    assert (world.probe.stopped is not None) is (stops and seconds < 5)


@pytest.mark.parametrize(("code", "stops"), [("OPSP0008", True), ("OPSP4242", True), ("OPSP0007", False)])
def test_an_error_harms_no_held_bond(code, stops):
    """An error to a probe releases nothing and teaches no limit; a strange one stops the probes."""
    world = Probed(A, B)
    world.errors = {A: code, B: code}
    world.live(PERIOD)
    assert world.asked() == [A]
    assert world.states() == {A: "ACTIVE", B: "ACTIVE"}
    assert world.session.capacity == 41
    assert (world.probe.stopped is not None) is stops
    world.live(PERIOD)
    assert all(tr_type == "1" for _, tr_type, _ in world.requests)
    assert len(world.asked()) == (0 if stops else 1)


def test_a_missing_answer_is_not_asked_for_again():
    """A probe without an answer is repeated no sooner than the next probe."""
    world = Probed(A)
    world.fates = ["lost"]
    world.live(PERIOD + 100)
    assert world.asked() == [A]
    assert world.states() == {A: "ACTIVE"}
    world.live(PERIOD)
    assert world.asked() == [A]


def test_an_unnamed_error_among_several_makes_no_suspect_of_a_probed_bond():
    """A bond that KIS holds is not blamed for an error that another request brought."""
    world = Probed(A)
    world.fates = [3.0]
    world.session.want([A, B], world.now)
    world.live(PERIOD + 10)
    assert world.session._registrations._suspects == set()
    assert world.states() == {A: "ACTIVE", B: "ACTIVE"}


def test_a_slot_that_leaves_asks_for_nothing():
    """While the bonds are released, no probe is sent."""
    world = Probed(A)
    world.fates = ["lost"] * 9
    world.session.leave("stop", world.now + 2 * PERIOD)
    world.live(PERIOD + 30)
    assert world.asked() == []


def test_a_key_that_is_too_old_is_renewed_before_a_probe():
    """The probe is sent with the new key."""
    world = Probed(A)
    world.session._key_expires_at = world.now + 10
    world.live(PERIOD + 1)
    assert world.asked() == [A]
    assert world.session._approval_key == "another-key"


def test_a_reply_that_nobody_asked_for_shows_no_loss():
    """The first confirmation of a bond in a session is no loss."""
    probe = Probe(PERIOD)
    probe.begin(0.0)
    assert probe.judge(A, Reaction.REGISTERED, "OPSP0000", 1.0) is None
