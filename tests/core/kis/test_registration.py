from itertools import pairwise

import pytest

from connector.core.kis.reaction import Reaction
from connector.core.kis.registration import Pace, Registrations
from connector.core.kis.reply import parse
from tests.core.kis.kis_model import A, B, C, World, reply

D = "KR6000000002"


class Talk:
    """Registrations in virtual time."""

    def __init__(self, *wanted, **pace):
        self.now = 100.0
        self.subject = Registrations(Pace(**pace))
        self.subject.want(wanted)
        self.subject.begin(self.now)

    def ask(self, seconds=0.2):
        """Return the requests of the time that passes, one look every 50 ms."""
        asked = []
        end = self.now + seconds
        while self.now < end:
            if (due := self.subject.next_request(self.now)) is not None:
                asked.append(due)
            self.now += 0.05
        return asked

    def answer(self, code, isin, **header):
        return self.subject.answered(parse(reply(code, isin, **header)), self.now)

    def nobody(self, code, rt_cd="9"):
        return self.answer(code, "", rt_cd=rt_cd, tr_id="(null)")

    def states(self):
        return {isin: seen.state for isin, seen in self.subject.view().items()}

    def active(self, *isins):
        """Register and confirm these, and nothing else."""
        self.subject.want(isins)
        for isin in isins:
            self.ask()
            self.answer("OPSP0000", isin)
        return self


def test_requests_keep_the_pace():
    """At most one message leaves per interval, in the order of the wish."""
    talk = Talk(A, B, C)
    times = []
    for _ in range(100):
        if talk.subject.next_request(talk.now):
            times.append(talk.now)
        talk.now += 0.01
    assert len(times) == 3
    assert all(later - earlier >= 0.2 - 1e-9 for earlier, later in pairwise(times))


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
    assert (talk.states(), talk.subject.held) == ({A: "PENDING"}, 1)
    assert talk.ask(2) == [("1", A)]


def test_release_goes_before_register():
    """A bond that is not wanted any more is released before another is registered."""
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


@pytest.mark.parametrize("code", ["OPSP0001", "OPSP0003"])
def test_released_is_forgotten(code):
    """Released and not found both mean that KIS holds the bond no more."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer(code, A)
    assert (talk.subject.held, talk.ask(30)) == (0, [])


def test_missing_reply_is_asked_again_and_counts_as_held():
    """Without a reply the request is repeated after the time-out, and the bond counts as held meanwhile."""
    talk = Talk(A, B, session_capacity=1)
    assert talk.ask(4.9) == [("1", A)]
    assert talk.subject.held == 1
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


def test_limit_is_learnt():
    """OPSP0008 teaches the number confirmed as the limit; the bond waits, with the code."""
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
    """A bond KIS had no room for is tried again once another one is released, and stays in view though placed elsewhere."""
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


def test_new_session_tries_one_more_than_the_learnt_limit():
    """Each new session may hold one more than the limit learnt, within the configured capacity."""
    talk = Talk(session_capacity=3).active(A)
    talk.subject.want([A, B])
    talk.ask()
    talk.answer("OPSP0008", B)
    for expected in (2, 3, 3):
        talk.subject.end(talk.now)
        talk.subject.begin(talk.now)
        assert talk.subject.limit == expected
        talk.active(*(A, B, C)[:expected])


def test_a_refused_bond_takes_no_place():
    """For each bond KIS refused the session can be given another one, until the bond is tried again."""
    talk = Talk(session_capacity=2).active(A)
    talk.subject.want([A, B])
    talk.ask()
    talk.answer("OPSP8992", B)
    assert talk.subject.places == 3
    talk.subject.want([A, B, C])
    assert talk.ask() == [("1", C)]
    talk.answer("OPSP0000", C)
    assert talk.states() == {A: "ACTIVE", B: "REJECTED", C: "ACTIVE"}
    talk.subject.want([A, C])
    assert talk.subject.places == 2
    talk.subject.want([A, B, C])
    talk.subject.retry_rejected([B])
    assert talk.subject.places == 2
    assert talk.states() == {A: "ACTIVE", B: "WAITING_CAPACITY", C: "ACTIVE"}


def test_a_list_of_nonsense_is_not_tried_to_its_end():
    """However many bonds KIS refuses, a session is given twice what it has room for at most."""
    talk = Talk(session_capacity=2)
    wrong = [f"KR{number:09}0" for number in range(10)]
    for _ in wrong:
        talk.subject.want(wrong[: talk.subject.places])
        for _, isin in talk.ask(0.5):
            talk.answer("OPSP8992", isin)
    assert [isin for isin, state in talk.states().items() if state == "REJECTED"] == wrong[:4]


def test_full_with_nothing_confirmed_teaches_nothing():
    """OPSP0008 on an empty session teaches no limit and is retried with back-off."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0008", A)
    assert (talk.subject.places, talk.states()) == (41, {A: "WAITING_CAPACITY"})
    assert talk.ask(2) == [("1", A)]


def test_error_for_nobody_belongs_to_the_only_request():
    """An error whose header names nobody refuses the only bond that waits for a reply."""
    talk = Talk(A)
    talk.ask()
    assert talk.nobody("OPSP8993") == (Reaction.REFUSE, A)
    assert talk.states() == {A: "REJECTED"}


def test_error_for_nobody_among_several_blames_nobody():
    """Among several requests nobody is blamed, and from then on they go one at a time until each is settled."""
    talk = Talk(A, B, C)
    assert talk.ask(0.35) == [("1", A), ("1", B)]
    assert talk.nobody("OPSP8993") is None
    assert talk.ask(4.6) == []
    talk.answer("OPSP0000", A)
    assert talk.ask(1) == [("1", B)]
    assert talk.ask(1) == []
    talk.nobody("OPSP8993")
    assert talk.ask(1) == [("1", C)]
    assert talk.states() == {A: "ACTIVE", B: "REJECTED", C: "PENDING"}


def test_suspects_are_remembered_over_the_drop():
    """Where KIS drops the socket after an error for nobody, the next session asks one at a time."""
    talk = Talk(A, B)
    talk.ask(0.35)
    talk.nobody("OPSP8993")
    talk.subject.end(talk.now, dropped=True)
    talk.subject.begin(talk.now)
    assert talk.ask(3) == [("1", A)]


def test_late_ack_of_a_released_bond_is_put_right():
    """An ack that arrives after the bond was released makes it count as held, and releases it again."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer("OPSP0001", A)
    talk.answer("OPSP0000", A)
    assert talk.subject.held == 1
    assert talk.ask(1) == [("2", A)]


def test_ack_never_asked_for_is_released():
    """An ack for a bond nobody asked for is counted and the bond released."""
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
    assert (talk.states(), talk.subject.unsolicited, talk.subject.held) == ({A: "PENDING"}, 1, 1)


def test_reply_of_another_tr_is_not_ours():
    """A reply to another TR with our bond's key confirms nothing."""
    talk = Talk(A)
    talk.ask()
    talk.answer("OPSP0000", A, tr_id="H0BJASP0")
    assert talk.states() == {A: "PENDING"}


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


def test_bond_whose_refusal_drops_the_socket_is_held_back():
    """A bond whose refusal cost two sessions in a row is left out for a while, and comes last before that."""
    talk = Talk(A, B)
    talk.ask()
    talk.answer("OPSP8993", A, rt_cd="9")
    talk.subject.end(talk.now, dropped=True)
    talk.subject.begin(talk.now)
    assert talk.ask(0.35) == [("1", B), ("1", A)]
    talk.answer("OPSP0000", B)
    talk.answer("OPSP8993", A, rt_cd="9")
    talk.subject.end(talk.now, dropped=True)
    talk.subject.begin(talk.now)
    assert talk.ask(3) == [("1", B)]
    assert talk.states()[A] == "REJECTED"
    talk.now += 60
    talk.subject.end(talk.now)
    talk.subject.begin(talk.now)
    assert talk.ask(0.35) == [("1", B), ("1", A)]


def test_error_to_a_release_is_retried():
    """A release that fails is repeated, and the bond counts as held until it is certain."""
    talk = Talk().active(A)
    talk.subject.want([])
    talk.ask()
    talk.answer("OPSP8999", A)
    assert talk.subject.held == 1
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
    assert talk.subject.held == 2
    assert talk.ask(3) == [("2", B)]
    talk.answer("OPSP0003", B)
    assert (talk.ask(60), talk.subject.view()[B].code) == ([], "OPSP0008")


def test_limit_counts_what_kis_may_hold():
    """A bond asked for before the refused one may be held, and counts, one asked for after it does not."""
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
    """A bond whose release was asked for after the refused one was still held when KIS refused."""
    talk = Talk().active(A, B)
    talk.subject.want([A, B, C])
    talk.ask(0.15)
    talk.subject.want([A, C])
    assert talk.ask(0.3) == [("2", B)]
    talk.answer("OPSP0008", C)
    assert talk.subject.limit == 2


def test_limit_learnt_in_doubt_is_put_right():
    """Where a release failed the bond counts for the limit; once it is released the room is tried, and a second refusal settles it."""
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


def test_limit_learnt_too_low_is_corrected():
    """A bond confirmed after the limit was learnt raises it: its reply was only late."""
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
    assert talk.nobody("OPSP8993") is None
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
    assert talk.subject.held == 1


@pytest.mark.parametrize("fates", [["lost"], ["lost", "lost"], [7.0], [12.0, "lost"], ["now", "lost", 7.0]])
@pytest.mark.parametrize("anonymous", [False, True])
def test_no_room_at_all_makes_no_loop(fates, anonymous):
    """Where KIS has room for nothing, a bond is registered less and less often and not released time and again."""
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
    """Looking only at the deadlines finds what looking all the time finds."""
    talk = Talk(A, B)
    found, now = [], talk.now
    while now < talk.now + 60:
        if (due := talk.subject.next_request(now)) is not None:
            found.append(due)
            continue
        deadline = talk.subject.next_deadline(now)
        assert deadline is not None
        assert deadline > now
        now = deadline
    assert len(found) == len(Talk(A, B).ask(60))


# A bond that is wanted and unwanted in turns.


def flap(talk, *, times, isin=A, others=(), seconds=1.0):
    """Ask for a bond and for none of it in turns, answering every request; return what was asked."""
    asked = []
    for wish in ([isin, *others], list(others)) * times:
        talk.subject.want(wish)
        for _ in range(round(seconds / 0.05)):
            for tr_type, about in talk.ask(0.05):
                asked.append((tr_type, about))
                talk.answer("OPSP0000" if tr_type == "1" else "OPSP0001", about)
    return asked


def test_who_corrects_himself_is_obeyed_at_once():
    """A bond added and removed twice is registered and released each time."""
    assert flap(Talk(), times=2) == [("1", A), ("2", A), ("1", A), ("2", A)]


def test_a_flapping_bond_stays_registered():
    """From the third time on a bond that is added and removed for hours stays registered, and shows it."""
    talk = Talk(B).active(B)
    flap(talk, times=2, others=[B])
    assert flap(talk, times=700, others=[B], seconds=3.0) == [("1", A)]
    assert talk.states() == {A: "ACTIVE", B: "ACTIVE"}
    assert talk.subject.active() == 1


def test_a_bond_that_settled_is_released():
    """A flapping bond is released once it was unwanted for ten seconds, and for twenty the next time; the deadlines tell when."""
    talk = Talk()
    flap(talk, times=2)
    for seconds in (10, 20):
        flap(talk, times=1, seconds=0.25)
        unwanted_at = talk.now
        assert talk.subject.next_deadline(talk.now) == pytest.approx(unwanted_at + seconds, abs=0.5)
        assert talk.ask(seconds - 1) == []
        assert talk.ask(2) == [("2", A)]
        talk.answer("OPSP0001", A)
        assert talk.states() == {}


def test_a_flapping_bond_gives_its_place_to_another():
    """In a full session a flapping bond makes room at once for a bond that needs it, once for each, and then it is what waits."""
    talk = Talk(session_capacity=2)
    flap(talk, times=2)
    flap(talk, times=2, isin=B)
    flap(talk, times=1, seconds=0.25)
    flap(talk, times=1, seconds=0.25, isin=B)
    assert talk.subject.held == 2
    talk.subject.want([C])
    assert talk.ask(1) == [("2", A)]
    talk.answer("OPSP0001", A)
    assert talk.ask(1) == [("1", C)]
    talk.answer("OPSP0000", C)
    talk.subject.want([C, A])
    assert talk.ask(6) == []
    assert talk.states() == {A: "PENDING", B: "ACTIVE", C: "ACTIVE"}
    assert talk.ask(4) == [("2", B)]
    talk.answer("OPSP0001", B)
    assert talk.ask(1) == [("1", A)]


def test_a_bond_that_gave_its_place_away_rests_first():
    """It is registered again as soon as it rested, although there is room before; the deadline tells when."""
    talk = Talk(session_capacity=1)
    flap(talk, times=2)
    flap(talk, times=1, seconds=0.25)
    unwanted_at = talk.now - 0.25
    for wish, request in (([C], ("2", A)), ([C], ("1", C)), ([A], ("2", C))):
        talk.subject.want(wish)
        assert talk.ask(0.25) == [request]
        talk.answer("OPSP0000" if request[0] == "1" else "OPSP0001", request[1])
    assert talk.ask(1) == []
    assert talk.subject.next_deadline(talk.now) == pytest.approx(unwanted_at + 10, abs=0.1)
    assert talk.ask(unwanted_at + 10.1 - talk.now) == [("1", A)]


def test_a_bond_left_alone_begins_anew():
    """An hour after the last of it a bond is released at once again, in a later session, too."""
    talk = Talk()
    flap(talk, times=2)
    talk.subject.end(talk.now)
    talk.now += 3601
    talk.subject.begin(talk.now)
    assert flap(talk, times=2) == [("1", A), ("2", A), ("1", A), ("2", A)]


def test_a_new_session_forgives_nothing():
    """A reconnect does not make a flapping bond a fresh one."""
    talk = Talk()
    flap(talk, times=2)
    talk.subject.end(talk.now)
    talk.subject.begin(talk.now)
    assert flap(talk, times=20) == [("1", A)]


def test_a_bond_nobody_wants_is_seen_until_it_is_released():
    """A bond that is not wanted any more stays in view until KIS confirmed its release."""
    talk = Talk().active(A)
    talk.subject.want([])
    assert talk.states() == {A: "ACTIVE"}
    talk.ask()
    assert talk.states() == {A: "PENDING"}
    talk.answer("OPSP0001", A)
    assert talk.states() == {}
