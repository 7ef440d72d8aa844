from itertools import pairwise

import pytest

from connector.core.kis.reply_codes import Reaction
from tests.core.kis.kis_model import A, B, C, D, Talk, World


def test_requests_keep_the_pace():
    """At most one request is sent in an interval, in the order of the wish."""
    talk = Talk(A, B, C)
    times = []
    for _ in range(100):
        if talk.next(talk.now):
            times.append(talk.now)
        talk.now += 0.01
    assert len(times) == 3
    assert all(later - earlier >= 0.2 - 1e-9 for earlier, later in pairwise(times))


def test_release_goes_before_register():
    """An unwanted bond is released before another one is registered."""
    talk = Talk().active(A)
    talk.subject.want([B])
    assert talk.ask(0.5) == [("2", A), ("1", B)]


def test_full_session_releases_first():
    """Nothing is registered beyond the limit until the release is confirmed."""
    talk = Talk(session_capacity=1).active(A)
    talk.subject.want([B])
    assert talk.ask(1) == [("2", A)]
    talk.answer("OPSP0001", A)
    assert talk.ask(1) == [("1", B)]


def test_limit_is_learned():
    """OPSP0008 makes the confirmed number the limit; the bond waits and shows the code."""
    talk = Talk().active(A, B)
    talk.subject.want([A, B, C, D])
    assert talk.ask(0.15) == [("1", C)]
    talk.answer("OPSP0008", C)
    assert talk.subject.limit == 2
    assert talk.ask(3600) == []
    seen = talk.subject.view()
    assert (seen[C].state, seen[C].code) == ("WAITING_CAPACITY", "OPSP0008")
    assert (seen[D].state, seen[D].code) == ("WAITING_CAPACITY", None)


def test_waiting_bond_takes_the_place_that_falls_free():
    """A bond without room stays in view, and is tried again once another bond is released."""
    talk = Talk().active(A)
    talk.subject.want([A, B])
    talk.ask()
    talk.answer("OPSP0008", B)
    talk.subject.want([A])
    assert talk.subject.view()[B].code == "OPSP0008"
    talk.subject.want([B])
    assert talk.ask(1) == [("2", A)]
    talk.answer("OPSP0001", A)
    assert talk.ask(1) == [("1", B)]
    talk.answer("OPSP0000", B)
    assert talk.states() == {B: "ACTIVE"}


def test_a_new_session_keeps_the_learned_limit():
    """Each new session may hold as many bonds as the last one learned."""
    talk = Talk(session_capacity=3).active(A)
    talk.subject.want([A, B])
    talk.ask()
    talk.answer("OPSP0008", B)
    for _ in range(3):
        talk.reconnect()
        assert talk.subject.limit == 1
        talk.active(A)


def test_a_refused_bond_takes_no_place():
    """A session holds as many bonds as its limit says, beside those that KIS refused."""
    talk = Talk(session_capacity=2).active(A)
    talk.subject.want([A, B])
    talk.ask()
    talk.answer("OPSP8992", B)
    talk.subject.want([A, B, C])
    assert talk.ask() == [("1", C)]
    talk.answer("OPSP0000", C)
    assert talk.states() == {A: "ACTIVE", B: "REJECTED", C: "ACTIVE"}
    talk.subject.want([A, C])
    talk.subject.want([A, B, C])
    talk.subject.retry_rejected([B])
    assert talk.states() == {A: "ACTIVE", B: "WAITING_CAPACITY", C: "ACTIVE"}


def test_error_without_a_name_belongs_to_the_only_request():
    """An error that names no bond refuses the only bond that waits for a reply."""
    talk = Talk(A)
    talk.ask()
    assert talk.answer_unnamed("OPSP8993") == (Reaction.REFUSE, A)
    assert talk.states() == {A: "REJECTED"}


def test_error_without_a_name_among_several_blames_nobody():
    """An unnamed error blames none of several bonds; they are then asked one at a time."""
    talk = Talk(A, B, C)
    assert talk.ask(0.35) == [("1", A), ("1", B)]
    assert talk.answer_unnamed("OPSP8993") is None
    assert talk.ask(4.6) == []
    talk.answer("OPSP0000", A)
    assert talk.ask(1) == [("1", B)]
    assert talk.ask(1) == []
    talk.answer_unnamed("OPSP8993")
    assert talk.ask(1) == [("1", C)]
    assert talk.states() == {A: "ACTIVE", B: "REJECTED", C: "PENDING"}


def test_suspects_are_remembered_over_the_drop():
    """If KIS drops the socket after an unnamed error, the next session asks bond by bond."""
    talk = Talk(A, B)
    talk.ask(0.35)
    talk.answer_unnamed("OPSP8993")
    talk.reconnect()
    assert talk.ask(3) == [("1", A)]


def test_ack_never_asked_for_is_released():
    """An ack for a bond we never asked for is counted, and the bond is released."""
    talk = Talk()
    talk.answer("OPSP0000", B)
    assert talk.subject.unsolicited == 1
    assert talk.ask(1) == [("2", B)]


@pytest.mark.parametrize("tr_key", ["", "not an isin", "KR", "x" * 500])
def test_ack_that_names_no_bond_is_only_counted(tr_key):
    """A success that names no bond changes nothing."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0000", tr_key)
    assert (talk.states(), talk.subject.unsolicited, talk.subject.held_count) == ({A: "PENDING"}, 1, 1)


def test_reply_of_another_tr_is_not_ours():
    """A reply to another TR with our bond's key confirms nothing."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0000", A, tr_id="H0BJASP0")
    assert talk.states() == {A: "PENDING"}


def test_a_bond_whose_refusal_drops_the_socket_comes_last():
    """A bond whose refusal ended a session waits, and then the others are registered first."""
    talk = Talk(A, B)
    talk.ask()
    talk.answer("OPSP8993", A, rt_cd="9")
    talk.reconnect()
    assert talk.ask(3) == [("1", B)]
    talk.answer("OPSP0000", B)
    assert talk.states()[A] == "REJECTED"
    talk.now += 1800
    talk.reconnect()
    assert talk.ask(0.35) == [("1", B), ("1", A)]


def test_a_bond_whose_request_ends_sessions_without_a_word_comes_last():
    """The only bond that KIS did not answer is to blame, unless something else explains the end."""
    talk = Talk(A, B)
    assert talk.ask(0.15) == [("1", A)]
    talk.reconnect()
    assert talk.ask(0.15) == [("1", A)]
    talk.subject.end(talk.now, is_unexplained=True)
    talk.now += 60
    talk.subject.begin(talk.now)
    assert talk.ask(0.35) == [("1", B)]
    talk.answer("OPSP0000", B)
    assert talk.ask(0.35) == [("1", A)]


def doubting(*isins):
    """Return the second session, after a first one that ended while A and B were unanswered."""
    talk = Talk(*isins)
    assert talk.ask(0.35) == [("1", A), ("1", B)]
    talk.reconnect(is_unexplained=True)
    return talk


def test_bonds_that_may_have_ended_a_session_are_asked_for_alone_and_last():
    """If any of several may have ended the session, the next session finds out which."""
    talk = doubting(A, B, C, D)
    assert talk.ask(0.55) == [("1", C), ("1", D)]
    talk.answer("OPSP0000", C)
    assert talk.ask(0.35) == []
    talk.answer("OPSP0000", D)
    assert talk.ask(0.15) == [("1", A)]
    talk.subject.want([A, B, C, D, "KR6000000009"])
    assert talk.ask(0.4) == []
    talk.subject.want([A, B, C, D])
    talk.reconnect(is_unexplained=True)
    assert talk.ask(0.55) == [("1", C), ("1", D)]
    talk.answer("OPSP0000", C)
    talk.answer("OPSP0000", D)
    assert talk.ask(0.35) == [("1", B)]
    talk.answer("OPSP0000", B)
    assert talk.ask(2) == [("1", A)]


@pytest.mark.parametrize("code", ["OPSP0000", "OPSP9993", None])
def test_a_session_that_outlives_a_request_ends_the_doubt(code):
    """KIS answers, or stays silent for as long as it may take: then the bond ends no sessions."""
    talk = doubting(A, B)
    assert talk.ask(4.9) == [("1", A)]
    if code:
        talk.answer(code, A)
        assert talk.ask(0.2) == [("1", B)]
    else:
        assert talk.ask(0.3) == [("1", B)]
        talk.answer("OPSP0000", B)
        assert talk.ask(0.3) == [("1", A)]
        talk.subject.want([A, B, C, D])
        assert talk.ask(0.5) == [("1", C), ("1", D)]


def test_a_bond_that_ends_no_sessions_is_repeated_beside_others():
    """What KIS answered once needs not be asked for alone again."""
    talk = doubting(A, B)
    assert talk.ask() == [("1", A)]
    talk.answer("OPSP9993", A)
    assert talk.ask() == [("1", B)]
    talk.answer("OPSP0000", B)
    talk.subject.want([A, B, C])
    assert talk.ask(2) == [("1", C), ("1", A)]


def test_a_doubt_outlives_a_session_that_ends_by_our_wish():
    """A session that did not live long enough for an answer says nothing about the bond."""
    talk = doubting(A, B)
    assert talk.ask() == [("1", A)]
    talk.reconnect()
    talk.subject.want([A, C])
    assert talk.ask(0.35) == [("1", C)]


def test_only_a_bond_that_is_alone_waits():
    """Of several nobody knows which ended the session, and a bond that KIS holds did not."""
    talk = Talk().active(C)
    talk.subject.want([C, A, B, D])
    talk.subject.send_probe(C, talk.now)
    assert talk.ask(0.55) == [("1", A), ("1", B)]
    talk.reconnect(is_unexplained=True)
    assert talk.ask(0.35) == [("1", C), ("1", D)]
    talk.answer("OPSP0000", C)
    talk.answer("OPSP0000", D)
    assert talk.ask(0.15) == [("1", A)]


def test_a_bond_that_kis_confirms_waits_as_little_as_at_first():
    """What a bond did before KIS confirmed it is forgotten."""
    talk = Talk(B, A)
    waits = []
    for number in range(6):
        assert talk.ask(0.15) == [("1", B)]
        talk.answer("OPSP0000", B)
        since = talk.now
        while not talk.ask(0.15):
            pass
        waits.append(round(talk.now - since))
        if number == 4:
            talk.answer("OPSP0000", A)
            talk.subject.send_probe(A, talk.now)
        talk.reconnect(is_unexplained=True)
    assert waits == [0, 1, 2, 4, 8, 1]


def test_leaving_does_not_wait_for_a_doubted_bond():
    """The session ends anyway, so the other bonds are released at once."""
    talk = doubting(A, B)
    assert talk.ask() == [("1", A)]
    talk.answer("OPSP0000", A)
    assert talk.ask() == [("1", B)]
    talk.subject.leave()
    assert talk.ask() == [("2", A)]


def test_who_ends_sessions_is_not_known_before_kis_confirmed_any_bond():
    """While KIS confirms nothing, an end may be KIS's trouble, and no bond waits for it."""
    talk = Talk(A)
    for _ in range(9):
        assert talk.ask(0.15) == [("1", A)]
        talk.reconnect(is_unexplained=True)


def test_a_bond_to_blame_is_remembered_while_no_list_wants_it():
    """Lists that add and remove it do not shorten its wait."""
    talk = Talk(B, A)
    for _ in range(5):
        assert talk.ask(0.15) == [("1", B)]
        talk.answer("OPSP0000", B)
        while not talk.ask(0.15):
            pass
        talk.reconnect(is_unexplained=True)
    talk.subject.want([B])
    talk.reconnect()
    talk.subject.want([B, A])
    assert talk.ask(5) == [("1", B)]


def test_a_bond_that_ends_sessions_comes_after_one_that_had_an_error():
    """A single error that may pass puts no good bond behind the one that ends each session."""
    talk = Talk(A)
    for _ in range(2):
        assert talk.ask(0.15) == [("1", A)]
        talk.subject.end(talk.now, is_unexplained=True)
        talk.now += 60
        talk.subject.begin(talk.now)
    talk.subject.want([A, B])
    assert talk.ask(0.35) == [("1", B)]
    talk.answer("OPSP9993", B)
    talk.subject.end(talk.now)
    talk.now += 60
    talk.subject.begin(talk.now)
    assert talk.ask(0.35) == [("1", B)]


@pytest.mark.parametrize("code", ["OPSP0009", "OPSP9993", None])
def test_bond_that_drops_the_socket_waits_longer_and_longer(code):
    """The wait after what cost a session goes on in the next one, and doubles; None is no word."""
    talk = Talk(A, B)
    asked_at = []
    while talk.now < 2000:
        talk.subject.begin(talk.now)
        while not [isin for _, isin in talk.ask(0.55) if isin == A]:
            talk.answer("OPSP0000", B)
        asked_at.append(talk.now)
        if code:
            talk.answer(code, A, rt_cd="9")
        talk.subject.end(talk.now, is_unexplained=not code)
    assert len(asked_at) < 18
    assert round(asked_at[-1] - asked_at[-2], -2) == (1000 if code else 300)


def test_limit_counts_what_kis_may_hold():
    """The limit counts a bond requested before the refused one, but none requested after it."""
    talk = Talk().active(A)
    talk.subject.want([A, B, C, D])
    talk.ask(0.55)
    talk.answer("OPSP0008", C)
    assert talk.subject.limit == 2
    talk.answer("OPSP0000", B)
    talk.answer("OPSP0008", D)
    assert talk.subject.limit == 2
    assert talk.states() == {A: "ACTIVE", B: "ACTIVE", C: "WAITING_CAPACITY", D: "WAITING_CAPACITY"}


def test_limit_counts_what_was_released_since():
    """The limit counts a bond released after the refused request: KIS still held it then."""
    talk = Talk().active(A, B)
    talk.subject.want([A, B, C])
    talk.ask(0.15)
    talk.subject.want([A, C])
    assert talk.ask(0.3) == [("2", B)]
    talk.answer("OPSP0008", C)
    assert talk.subject.limit == 2


def test_limit_learned_in_doubt_is_put_right():
    """A limit learned in doubt is corrected when the next attempt is refused, too."""
    talk = Talk().active(A, B)
    talk.subject.want([A, C])
    assert talk.ask(0.1) == [("2", B)]
    talk.answer("OPSP0007", B)
    assert talk.ask(0.25) == [("1", C)]
    talk.answer("OPSP0008", C)
    assert talk.subject.limit == 2
    assert talk.ask(1) == [("2", B)]
    talk.answer("OPSP0001", B)
    assert talk.ask(1) == [("1", C)]
    talk.answer("OPSP0008", C)
    assert (talk.subject.limit, talk.ask(600)) == (1, [])


def test_limit_learned_too_low_is_corrected():
    """A bond confirmed after the limit was learned raises it: its reply was only late."""
    talk = Talk().active(A)
    talk.subject.want([A, B, C])
    talk.ask(0.15)
    talk.subject.want([A, C])
    assert talk.ask(5.2) == [("1", C), ("2", B), ("1", C)]
    talk.answer("OPSP0003", B)
    talk.answer("OPSP0008", C)
    assert talk.subject.limit == 1
    talk.answer("OPSP0000", C)
    assert talk.subject.limit == 2


@pytest.mark.parametrize("fates", [["lost"], ["lost", "lost"], [7.0], [12.0, "lost"], ["now", "lost", 7.0]])
@pytest.mark.parametrize("anonymous", [False, True])
def test_no_room_at_all_makes_no_loop(fates, anonymous):
    """If KIS has no room at all, the bond is tried after longer and longer waits."""
    world = World(fates, limit=0, anonymous=anonymous)
    world.session.want([A], world.now)
    for _ in range(20):
        world.advance(30.0)
        world.session.data_received(world.now)
    before = len(world.requests)
    for _ in range(20):
        world.advance(30.0)
        world.session.data_received(world.now)
    asked = [tr_type for _, tr_type, _ in world.requests[before:]]
    assert "2" not in asked
    assert len(asked) <= 11


def test_session_starts_empty():
    """A new session holds nothing: everything wanted is registered again."""
    talk = Talk().active(A, B)
    talk.subject.end(talk.now)
    assert talk.states() == {A: "PENDING", B: "PENDING"}
    talk.subject.begin(talk.now)
    assert talk.ask(1) == [("1", A), ("1", B)]


def test_deadline_is_never_missed():
    """A session that looks only at its deadlines sends as much as one that always looks."""
    talk = Talk(A, B)
    found, now = [], talk.now
    while now < talk.now + 60:
        if (due := talk.next(now)) is not None:
            found.append(due)
            continue
        deadline = talk.subject.next_deadline(now)
        assert deadline is not None
        assert deadline > now
        now = deadline
    assert len(found) == len(Talk(A, B).ask(60))


def test_a_bond_nobody_wants_is_seen_until_it_is_released():
    """An unwanted bond stays in view until KIS confirms its release."""
    talk = Talk().active(A)
    talk.subject.want([])
    assert talk.states() == {A: "ACTIVE"}
    talk.ask()
    assert talk.states() == {A: "PENDING"}
    talk.answer("OPSP0001", A)
    assert talk.states() == {}


def test_unknown_bonds_are_counted_but_not_all_remembered():
    """Endless acks for bonds we never asked for are counted, but fill no memory."""
    talk = Talk(A)
    for number in range(3000):
        talk.answer("OPSP0000", f"KR{number:09}0")
    assert talk.subject.unsolicited == 3000
    assert talk.subject.held_count == 1000
    assert talk.ask() == [("2", "KR0000000000")]
