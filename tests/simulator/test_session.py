"""One client's session, on a clock of the test's own."""

from simulator.request import TR_ID
from simulator.session import Session


def test_pingpong_comes_on_idle_ticks_only():
    """A PINGPONG is due at a tick if the line was idle since the tick before, else later."""
    session = Session(0, 100.0, 10.0, 1)
    assert [session.advance(now) for now in (105.0, 109.9, 110.0)] == [False, False, True]
    session.note_pingpong(b"x", 110.0)
    session.note_answer(b"x", "text", 110.01)
    assert [session.advance(now) for now in (120.0, 129.9, 130.0)] == [False, False, True]
    session.note_traffic(139.0)
    assert [session.advance(now) for now in (140.0, 150.0)] == [False, True]


def test_unanswered_counts_from_the_first():
    """Waiting counts from the oldest unanswered PINGPONG, and an answer ends it."""
    session = Session(0, 0.0, 10.0, 1)
    session.note_pingpong(b"a", 10.0)
    session.note_pingpong(b"b", 20.0)
    assert session.unanswered_seconds(50.0) == 40.0
    session.note_answer(b"b", "pong", 51.0)
    session.note_answer(b"unasked", "text", 52.0)
    assert session.unanswered_seconds(60.0) == 0.0
    assert [(pong.identical, pong.opcode) for pong in session.pongs] == [(True, "pong")]


def test_each_registration_has_its_own_keys():
    """Keys have the form of the recorded ones, and each registration has its own."""
    session = Session(0, 0.0, 10.0, 1)
    first, second = session.register(TR_ID, "A"), session.register(TR_ID, "B")
    assert first != second
    assert (len(first.key), len(first.iv), session.tr_keys) == (32, 16, ("A", "B"))
    assert first.key.isalpha()
    assert first.key.islower()
    assert set(first.iv) <= set("0123456789abcdef")


def test_old_registrations_are_forgotten():
    """Registrations of the given age are forgotten; younger ones stay."""
    session = Session(0, 0.0, 10, 7)
    session.register(TR_ID, "A")
    session.register(TR_ID, "B")
    session.registered_since[TR_ID, "A"] -= 5
    session.forget(5.0, session.registered_since[TR_ID, "B"])
    assert session.tr_keys == ("B",)
