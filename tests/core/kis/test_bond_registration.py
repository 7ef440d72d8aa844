import pytest

from connector.core.kis.reaction import Reaction
from tests.core.kis.kis_model import A, B, Talk


@pytest.mark.parametrize("code", ["OPSP0000", "OPSP0002"])
def test_active_only_once_confirmed(code):
    """A bond is ACTIVE from OPSP0000 or OPSP0002 on, not from the request on."""
    talk = Talk(A)
    assert talk.ask() == [("1", A)]
    assert talk.states() == {A: "PENDING"}
    talk.answer(code, A)
    assert talk.states() == {A: "ACTIVE"}
    assert talk.ask(60) == []


def test_unknown_success_is_asked_again():
    """An rt_cd 0 with an unknown code leaves the bond pending and held in doubt, and is asked again."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0099", A, rt_cd="0")
    assert (talk.states(), talk.subject.held_count) == ({A: "PENDING"}, 1)
    assert talk.ask(2) == [("1", A)]


@pytest.mark.parametrize("code", ["OPSP0001", "OPSP0003"])
def test_released_is_forgotten(code):
    """Released and not found both mean that KIS holds the bond no more."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer(code, A)
    assert (talk.subject.held_count, talk.ask(30)) == (0, [])


def test_missing_reply_is_asked_again_and_counts_as_held():
    """Without a reply the request is repeated after the time-out, and the bond counts as held meanwhile."""
    talk = Talk(A, B, session_capacity=1)
    assert talk.ask(4.9) == [("1", A)]
    assert talk.subject.held_count == 1
    assert talk.ask(0.3) == [("1", A)]
    assert talk.ask(100).count(("1", A)) < 10


@pytest.mark.parametrize("code", ["OPSP0007", "OPSP0009", "OPSP8999", "OPSP9993", "OPSP9995"])
def test_server_trouble_is_retried_with_backoff(code):
    """Server-side trouble is retried later and later, and the bond shows the code meanwhile."""
    talk = Talk(A)
    gaps = []
    for _ in range(8):
        before = talk.now
        while not talk.ask(0.05):
            pass
        gaps.append(talk.now - before)
        talk.answer(code, A)
    assert gaps[1] >= 1
    assert gaps[-1] >= 59
    assert talk.subject.view()[A].code == code


@pytest.mark.parametrize("code", ["OPSP8991", "OPSP8992", "OPSP8993", "OPSP0017", "OPSP9999", "OPSP4242"])
def test_refused_bond_stays_refused_until_the_next_session(code):
    """A refused bond is REJECTED with KIS's code, left alone in this session, and tried in the next."""
    talk = Talk(A)
    talk.ask()
    assert talk.answer(code, A) == (Reaction.REFUSE, A)
    assert talk.ask(3600) == []
    seen = talk.subject.view()[A]
    assert (seen.state, seen.code, seen.message) == ("REJECTED", code, "text")
    talk.subject.end(talk.now)
    assert talk.states() == {A: "REJECTED"}
    talk.subject.begin(talk.now)
    assert talk.ask() == [("1", A)]


def test_new_record_retries_a_refused_bond():
    """A new control record makes a refused bond be tried again in the same session, another's does not."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP8992", A)
    talk.subject.retry_rejected([B])
    assert talk.ask(5) == []
    talk.subject.retry_rejected([A])
    assert talk.ask(5) == [("1", A)]


def test_full_with_nothing_confirmed_teaches_nothing():
    """OPSP0008 on an empty session teaches no limit and is retried with back-off."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0008", A)
    assert (talk.subject.places, talk.states()) == (41, {A: "WAITING_CAPACITY"})
    assert talk.ask(2) == [("1", A)]


def test_late_ack_of_a_released_bond_is_put_right():
    """An ack that arrives after the bond was released makes it count as held, and releases it again."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer("OPSP0001", A)
    talk.answer("OPSP0000", A)
    assert talk.subject.held_count == 1
    assert talk.ask(1) == [("2", A)]


def test_ack_of_an_earlier_request_confirms_nothing():
    """After register, release and register again, the first ack may be the first request's; only the next one confirms."""
    talk = Talk(A)
    talk.ask()
    talk.subject.want([])
    assert talk.ask(5.2) == [("2", A)]
    talk.answer("OPSP0001", A)
    talk.subject.want([A])
    talk.ask(0.5)
    talk.answer("OPSP0000", A)
    assert talk.states() == {A: "PENDING"}


def test_unasked_release_of_an_active_bond_is_questioned():
    """A release nobody asked for makes an active bond pending, and it is asked for again."""
    talk = Talk().active(A)
    talk.answer("OPSP0001", A)
    assert talk.states() == {A: "PENDING"}
    assert talk.ask(1) == [("1", A)]


def test_error_to_a_release_is_retried():
    """A release that fails is repeated, and the bond counts as held until it is certain."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer("OPSP8999", A)
    assert talk.subject.held_count == 1
    assert talk.ask(1.5) == [("2", A)]


def test_bond_on_its_way_out_is_not_active():
    """A bond wanted again while its release is on the way is pending until KIS confirms it anew."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.subject.want([A])
    assert talk.states() == {A: "PENDING"}
    talk.answer("OPSP0001", A)
    assert talk.ask(1) == [("1", A)]


def test_full_in_doubt_is_released():
    """Where an earlier request for the bond got no reply, OPSP0008 leaves a doubt that a release settles."""
    talk = Talk().active(A)
    talk.subject.want([A, B])
    assert talk.ask(5.3) == [("1", B), ("1", B)]
    talk.answer("OPSP0008", B)
    assert talk.subject.held_count == 2
    assert talk.ask(3) == [("2", B)]
    talk.answer("OPSP0003", B)
    assert (talk.ask(60), talk.subject.view()[B].code) == ([], "OPSP0008")


def test_late_error_for_an_active_bond_is_questioned():
    """An error nobody waited for makes an active bond pending, and it is asked for again."""
    talk = Talk().active(A)
    talk.answer("OPSP0007", A)
    assert talk.states() == {A: "PENDING"}
    assert talk.ask(2) == [("1", A)]


def test_lost_replies_are_not_expected_for_ever():
    """A reply overdue for three timeouts is given up, so that a later ack confirms at once."""
    talk = Talk(A)
    talk.ask()
    talk.subject.want([])
    assert talk.ask(5.2) == [("2", A)]
    talk.answer("OPSP0001", A)
    assert talk.ask(10) == []
    talk.subject.want([A])
    assert talk.ask() == [("1", A)]
    talk.answer("OPSP0000", A)
    assert talk.states() == {A: "ACTIVE"}


def test_late_error_of_an_earlier_request_changes_nothing():
    """A bond confirmed by its second request stays active when the first one's error comes late."""
    talk = Talk(A)
    assert talk.ask(5.2) == [("1", A), ("1", A)]
    talk.answer("OPSP0000", A)
    talk.answer("OPSP0008", A)
    assert (talk.states(), talk.ask(30)) == ({A: "ACTIVE"}, [])


def test_late_error_for_nobody_is_not_the_next_bonds():
    """An error for nobody that may answer an overdue request refuses no other bond."""
    talk = Talk(A)
    talk.ask()
    talk.subject.want([B])
    assert talk.ask(5.2) == [("1", B), ("2", A), ("1", B)]
    talk.answer("OPSP0003", A)
    assert talk.answer_unnamed("OPSP8993") is None
    assert talk.states() == {B: "PENDING"}


def test_error_is_not_taken_for_a_ghosts_reply():
    """After an error, the late ack of a request from before the release still confirms nothing."""
    talk = Talk(A)
    talk.ask()
    talk.subject.want([])
    assert talk.ask(5.2) == [("2", A)]
    talk.answer("OPSP0001", A)
    talk.subject.want([A])
    talk.ask(0.5)
    talk.answer("OPSP0007", A)
    talk.answer("OPSP0000", A)
    assert talk.states() == {A: "PENDING"}


def test_refused_key_leaves_a_bond_held_that_was_to_be_released():
    """Where KIS refuses the approval key of a release, the bond still counts as held."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer("OPSP0011", A)
    assert talk.subject.held_count == 1
