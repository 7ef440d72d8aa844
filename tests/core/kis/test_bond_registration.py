import pytest

from connector.core.kis.reply_codes import Reaction
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
    """After rt_cd 0 with an unknown code the bond counts as held and is asked for again."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0099", A, rt_cd="0")
    assert (talk.states(), talk.subject.held_count) == ({A: "PENDING"}, 1)
    assert talk.ask(2) == [("1", A)]


@pytest.mark.parametrize("code", ["OPSP0001", "OPSP0003"])
def test_released_is_forgotten(code):
    """Both "released" and "not found" mean that KIS does not hold the bond."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer(code, A)
    assert (talk.subject.held_count, talk.ask(30)) == (0, [])


def test_missing_reply_is_asked_again_and_counts_as_held():
    """Without a reply the request is repeated, and meanwhile the bond counts as held."""
    talk = Talk(A, B, session_capacity=1)
    assert talk.ask(4.9) == [("1", A)]
    assert talk.subject.held_count == 1
    assert talk.ask(0.3) == [("1", A)]
    assert talk.ask(100).count(("1", A)) < 10


@pytest.mark.parametrize("code", ["OPSP0007", "OPSP0009", "OPSP8999", "OPSP9993", "OPSP9995"])
def test_server_trouble_is_retried_with_backoff(code):
    """After server trouble each retry waits longer, and the bond shows the code meanwhile."""
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


def test_an_error_that_lasts_all_day_is_asked_about_seldom():
    """KIS answers OPSP0009 all day: about ten requests within half an hour, then two an hour."""
    talk = Talk(A)
    asked = []
    while talk.now < 8 * 3600:
        for _ in talk.ask(1.0):
            asked.append(talk.now)
            talk.answer("OPSP0009", A)
    assert sum(at < 1800 for at in asked) <= 12
    assert len(asked) <= 12 + 2 * 8


@pytest.mark.parametrize("code", ["OPSP8991", "OPSP8992", "OPSP8993", "OPSP0017", "OPSP9999", "OPSP4242"])
def test_a_refused_bond_is_tried_again_after_half_an_hour(code):
    """A refused bond is REJECTED with KIS's code; half an hour later it is asked for once more."""
    talk = Talk(A)
    for _ in range(3):
        assert talk.ask() == [("1", A)]
        assert talk.answer(code, A) == (Reaction.REFUSE, A)
        assert talk.ask(1799) == []
        seen = talk.subject.view()[A]
        assert (seen.state, seen.code, seen.message) == ("REJECTED", code, "text")
        assert talk.subject.next_deadline(talk.now) == pytest.approx(talk.now + 1, abs=0.5)
        talk.now += 1
    assert talk.ask() == [("1", A)]
    assert talk.states() == {A: "REJECTED"}
    talk.answer("OPSP0000", A)
    assert talk.states() == {A: "ACTIVE"}


@pytest.mark.parametrize("code", ["OPSP0009", "OPSP0007"])
def test_a_bond_whose_error_lasts_gives_up_its_place(code):
    """It is REJECTED before waits of over a minute, and claims its place back twice."""
    talk = Talk(A)
    waits, given_up, claimed = [], [], 0
    state, asked_at = "PENDING", talk.now
    while len(waits) < 14:
        asked = talk.ask(0.5)
        if asked and talk.now > 101:
            waits.append(talk.now - asked_at)
            given_up.append(state == "REJECTED")
        claimed += state == "REJECTED" and talk.states()[A] == "PENDING"
        if asked:
            asked_at = talk.now
            talk.answer(code, A)
        state = talk.states()[A]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1800, 1800, 1800], abs=2)
    assert given_up == [wait > 60 for wait in waits]
    assert claimed == 2
    assert talk.subject.view()[A].code == code
    talk.now += 1800
    talk.ask()
    talk.answer("OPSP0000", A)
    assert talk.states() == {A: "ACTIVE"}


def test_a_bond_that_a_list_newly_wants_claims_a_place_however_long_its_wait_was():
    """After a quarter of an hour of errors, it claims its place once its wait is over."""
    talk = Talk(A, session_capacity=1)
    while talk.now < 1000:
        if talk.ask(1.0):
            talk.answer("OPSP0009", A)
    talk.subject.want([A, B])
    talk.ask(1.0)
    talk.answer("OPSP0000", B)
    talk.subject.retry_rejected([A])
    assert talk.ask(60) == []
    assert talk.states() == {A: "REJECTED", B: "ACTIVE"}
    talk.ask(600)
    assert talk.states() == {A: "WAITING_CAPACITY", B: "ACTIVE"}


def test_a_bond_that_has_to_wait_in_the_next_session_has_no_place_there():
    """After an error a missing answer leaves a doubt; a new session ends it, but not the wait."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0009", A)
    asked = 0
    while asked < 8:
        asked += len(talk.ask(1.0))
    talk.ask(6)
    assert talk.states() == {A: "PENDING"}
    talk.subject.end(talk.now)
    assert talk.states() == {A: "REJECTED"}


def test_a_bond_that_has_to_wait_two_minutes_in_the_next_session_claims_its_place_then():
    """The wait that is left counts, and not the time since the last error."""
    talk = Talk(A, session_capacity=1)
    errors = 0
    while errors < 6:
        if talk.ask(1.0):
            talk.answer("OPSP0009", A)
            errors += 1
    while not 120 < talk.subject.next_deadline(talk.now) - talk.now < 130:
        talk.ask(0.5)
    talk.reconnect()
    talk.subject.want([A, B])
    talk.ask(1.0)
    talk.answer("OPSP0000", B)
    assert talk.states() == {A: "REJECTED", B: "ACTIVE"}
    talk.ask(150)
    assert talk.states() == {A: "WAITING_CAPACITY", B: "ACTIVE"}


def without_answers():
    """Return a talk in which A waits 32 s for its next attempt; KIS's only answer was an error."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0009", A)
    asked = 0
    while asked < 6:
        asked += len(talk.ask(1.0))
    talk.ask(6)
    return talk


def full_for_long():
    """Return a talk in which A waits a minute for room; it had an error long ago."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0009", A)
    while talk.now < 1000:
        if talk.ask(1.0):
            talk.answer("OPSP0008", A)
    while not talk.ask(1.0):
        pass
    talk.answer("OPSP0008", A)
    return talk


@pytest.mark.parametrize("waiting", [without_answers, full_for_long])
def test_a_bond_that_waits_shortly_keeps_its_place_in_the_next_session(waiting):
    """Up to a minute counts as short, however long ago the error was."""
    talk = waiting()
    talk.subject.begin(talk.now)
    assert (talk.ask(1.0), talk.states()) == ([], {A: "PENDING"})
    assert talk.ask(60) == [("1", A)]


@pytest.mark.parametrize("waiting", [without_answers, full_for_long])
def test_a_list_that_names_a_bond_anew_takes_no_place_from_it(waiting):
    """A bond that is not REJECTED is not so afterwards either, however long ago the error was."""
    talk = waiting()
    before = talk.states()
    talk.subject.retry_rejected([A])
    assert talk.states() == before != {A: "REJECTED"}


def test_a_bond_that_kis_may_hold_keeps_its_place():
    """After a success with an unknown code ticks may come: the bond is asked for, not given up."""
    talk = Talk(A)
    while talk.now < 3600:
        for tr_type, _ in talk.ask(1.0):
            assert tr_type == "1"
            talk.answer("OPSP0099", A, rt_cd="0")
            assert talk.states() == {A: "PENDING"}


def test_a_bond_that_lists_name_too_often_takes_no_place():
    """While its wait is longer than a minute, naming it once more changes nothing."""
    talk = Talk(A)
    while talk.now < 300:
        talk.subject.retry_rejected([A])
        for _ in talk.ask(1.0):
            talk.answer("OPSP8992", A)
    talk.subject.retry_rejected([A])
    assert (talk.states(), talk.subject.view()[A].code) == ({A: "REJECTED"}, "OPSP8992")


def test_new_sessions_alone_try_no_refused_bond():
    """However often the session is new, a refused bond waits for half an hour."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP8992", A)
    for _ in range(170):
        talk.subject.end(talk.now)
        assert talk.states() == {A: "REJECTED"}
        talk.subject.begin(talk.now)
        assert talk.ask(10) == []


def test_a_session_that_ends_before_the_answer_counts_as_refusal():
    """If KIS ends the session before it answers the next attempt, the bond waits again."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP8992", A)
    talk.now += 1800
    assert talk.ask() == [("1", A)]
    talk.reconnect()
    assert talk.ask(1790) == []
    assert talk.ask(10.1) == [("1", A)]


def test_a_refused_bond_that_lists_name_again_and_again_waits_longer():
    """The first attempts that lists ask for are made at once; then their wait doubles."""
    talk = Talk(A)
    asked = []
    while talk.now < 3700:
        talk.subject.retry_rejected([A])
        for _ in talk.ask(1.0):
            asked.append(talk.now)
            talk.answer("OPSP8992", A)
    assert asked[3] < 110
    assert len(asked) <= 13


def test_a_list_is_obeyed_at_once_after_a_day_of_refusals():
    """Attempts half an hour apart are no loop, so a list that names the bond need not wait."""
    talk = Talk(A)
    while talk.now < 24 * 3600:
        for _ in talk.ask(4):
            talk.answer("OPSP8992", A)
    talk.now += 10
    talk.subject.retry_rejected([A])
    assert talk.ask() == [("1", A)]


def test_new_record_retries_a_refused_bond():
    """A refused bond is tried again if a new control record names it."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP8992", A)
    talk.subject.retry_rejected([B])
    assert talk.ask(5) == []
    talk.subject.retry_rejected([A])
    assert talk.ask(5) == [("1", A)]


def test_full_with_nothing_confirmed_teaches_nothing():
    """OPSP0008 on an empty session sets no limit, and the bond is tried again with back-off."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0008", A)
    assert (talk.subject.limit, talk.states()) == (41, {A: "WAITING_CAPACITY"})
    assert talk.ask(2) == [("1", A)]


def test_late_ack_of_a_released_bond_is_put_right():
    """If an ack arrives after the release, the bond counts as held and is released again."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer("OPSP0001", A)
    talk.answer("OPSP0000", A)
    assert talk.subject.held_count == 1
    assert talk.ask(1) == [("2", A)]


def test_ack_of_an_earlier_request_confirms_nothing():
    """After register, release and register, only the second ack confirms the bond."""
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
    """An unexpected release makes an active bond pending, and it is asked for again."""
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
    """A bond wanted again during its release is pending until KIS confirms it again."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.subject.want([A])
    assert talk.states() == {A: "PENDING"}
    talk.answer("OPSP0001", A)
    assert talk.ask(1) == [("1", A)]


def test_full_in_doubt_is_released():
    """OPSP0008 after an unanswered request leaves a doubt, which a release resolves."""
    talk = Talk().active(A)
    talk.subject.want([A, B])
    assert talk.ask(5.3) == [("1", B), ("1", B)]
    talk.answer("OPSP0008", B)
    assert talk.subject.held_count == 2
    assert talk.ask(3) == [("2", B)]
    talk.answer("OPSP0003", B)
    assert (talk.ask(60), talk.subject.view()[B].code) == ([], "OPSP0008")


def test_late_error_for_an_active_bond_is_questioned():
    """An unexpected error makes an active bond pending, and it is asked for again."""
    talk = Talk().active(A)
    talk.answer("OPSP0007", A)
    assert talk.states() == {A: "PENDING"}
    assert talk.ask(2) == [("1", A)]


def test_lost_replies_are_not_expected_for_ever():
    """After three timeouts a reply counts as lost, so that a later ack confirms at once."""
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


def test_late_error_without_a_name_is_not_the_next_bonds():
    """An unnamed error that may answer an overdue request refuses no other bond."""
    talk = Talk(A)
    talk.ask()
    talk.subject.want([B])
    assert talk.ask(5.2) == [("1", B), ("2", A), ("1", B)]
    talk.answer("OPSP0003", A)
    assert talk.answer_unnamed("OPSP8993") is None
    assert talk.states() == {B: "PENDING"}


def test_error_is_not_taken_for_a_superseded_reply():
    """Even after an error, a late ack of a superseded request confirms nothing."""
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
    """If KIS refuses the approval key of a release, the bond still counts as held."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer("OPSP0011", A)
    assert talk.subject.held_count == 1
