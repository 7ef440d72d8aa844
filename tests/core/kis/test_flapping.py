"""Bonds that lists add and remove again and again."""

import pytest

from connector.core.kis.bond_registration import REFUSED_SECONDS
from tests.core.kis.kis_model import A, B, C, Talk


def flap(talk, *, times, isin=A, others=(), seconds=1.0):
    """Add and remove a bond in turns, answering every request; return the requests."""
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
    """A bond that is added and removed for hours stays registered from the third time on."""
    talk = Talk(B).active(B)
    flap(talk, times=2, others=[B])
    assert flap(talk, times=700, others=[B], seconds=3.0) == [("1", A)]
    assert talk.states() == {A: "ACTIVE", B: "ACTIVE"}
    assert talk.subject.active_count == 1


def test_a_bond_that_settled_is_released():
    """A flapping bond is released after ten seconds of rest, the next time after twenty."""
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
    """In a full session a flapping bond gives its place to a bond that needs it."""
    talk = Talk(session_capacity=2)
    flap(talk, times=2)
    flap(talk, times=2, isin=B)
    flap(talk, times=1, seconds=0.25)
    flap(talk, times=1, seconds=0.25, isin=B)
    assert talk.subject.held_count == 2
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
    """A bond that gave its place away is not registered again before it has rested."""
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
    """An hour after its last release a bond is released at once again, even in a later session."""
    talk = Talk()
    flap(talk, times=2)
    talk.subject.end(talk.now)
    talk.now += 3601
    talk.subject.begin(talk.now)
    assert flap(talk, times=2) == [("1", A), ("2", A), ("1", A), ("2", A)]


def test_a_new_session_forgives_nothing():
    """A flapping bond still counts as flapping after a reconnect."""
    talk = Talk()
    flap(talk, times=2)
    talk.reconnect()
    assert flap(talk, times=20) == [("1", A)]


def next_request(talk):
    """Let time pass until a request is due, and return it."""
    for _ in range(2000):
        if asked := talk.ask(0.05):
            return asked
    return []


def test_a_release_that_resolves_a_doubt_is_no_flapping():
    """A wanted bond is released to end a doubt; later, unwanted, it is released at once."""
    talk = Talk(A)
    for _ in range(4):
        assert next_request(talk) + next_request(talk) == [("1", A), ("1", A)], "the first reply is lost"
        talk.answer("OPSP8992", A)
        assert next_request(talk) == [("2", A)], "KIS may hold it by one of the two requests"
        talk.answer("OPSP0003", A)
        assert talk.states() == {A: "REJECTED"}
        talk.now += REFUSED_SECONDS
    assert next_request(talk) == [("1", A)]
    talk.answer("OPSP0000", A)
    talk.subject.want([])
    assert talk.ask(1) == [("2", A)]
