from dataclasses import replace

import pytest

from connector.core.kis.backoff import Backoff
from tests.core.kis.kis_model import WAITS


def backoff(draw=0.0, **waits):
    """Return a backoff with constant draws."""
    return Backoff(replace(WAITS, **waits), lambda: draw)


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_reconnect_delays_grow_between_minimum_and_maximum(draw):
    """Delays stay between minimum and maximum, and the span above the minimum doubles."""
    subject = backoff(draw, reconnect_min=1, reconnect_max=60)
    delays = [subject.ended("closed") for _ in range(50)]
    assert all(1 <= delay <= 60 for delay in delays)
    spans = [delay - 1 for delay in delays]
    assert spans[1:5] == [pytest.approx(2 * span) for span in spans[:4]]
    assert delays[-1] == 1 + 59 * (0.5 + draw / 2)


def test_delays_are_jittered():
    """Two draws give two delays."""
    assert backoff(0.1).ended("reset") != backoff(0.9).ended("reset")


def test_accept_then_close_makes_few_attempts():
    """A server that accepts and closes sees at most ten attempts in a minute."""
    subject, now, attempts = backoff(0.0), 0.0, 0
    while now < 60:
        attempts += 1
        now += subject.ended("closed")
    assert attempts <= 10


def test_only_proof_of_life_resets_the_delay():
    """Only data or a PINGPONG brings the delay back to its first length."""
    subject = backoff()
    first = subject.ended("closed")
    assert subject.ended("handshake") > first
    subject.proved_alive()
    assert subject.ended("closed") == first


def test_failures_are_counted_since_the_last_proof_of_life():
    """Ended sessions and refusals add up until data or a PINGPONG comes."""
    subject = backoff()
    assert subject.failures == 0
    subject.ended("handshake")
    subject.ended("in_use", in_use=True)
    assert subject.failures == 2
    subject.proved_alive()
    assert subject.failures == 0


def test_in_use_waits_three_times_then_doubles():
    """The first three waits are equal, later waits double, and proof of life starts them again."""
    subject = backoff(in_use_wait=30, in_use_wait_max=600)
    waits = [subject.ended("in_use", in_use=True) for _ in range(9)]
    assert waits == [30, 30, 30, 60, 120, 240, 480, 600, 600]
    subject.proved_alive()
    assert subject.ended("approval", in_use=True) == 30


def test_a_slot_taken_over_is_tried_soon_and_not_for_long():
    """After a take-over seven waits last 8 s; then the usual waits begin, from the first on."""
    subject = Backoff(replace(WAITS, in_use_wait=30), lambda: 0.0, taken_over=True)
    waits = [subject.ended("in_use", in_use=True) for _ in range(11)]
    assert waits == [8.0] * 7 + [30, 30, 30, 60]
    assert subject.failures == 11


def test_a_take_over_ends_with_the_first_session_that_works():
    """Once data or a PINGPONG came, a refusal means another session, and the wait is long."""
    subject = Backoff(replace(WAITS, in_use_wait=30), lambda: 0.0, taken_over=True)
    assert subject.ended("in_use", in_use=True) == 8.0
    subject.proved_alive()
    assert subject.failures == 0
    assert subject.ended("in_use", in_use=True) == 30


def test_a_take_over_shortens_nothing_else():
    """Refused approval keys wait as long as ever, and a shorter setting is kept."""
    subject = Backoff(replace(WAITS, in_use_wait=30), lambda: 0.0, taken_over=True)
    assert subject.ended("approval", in_use=True) == 30
    assert Backoff(replace(WAITS, in_use_wait=2), lambda: 0.0, taken_over=True).ended("in_use", in_use=True) == 2


def test_silence_timeout_doubles_for_each_barren_session_in_a_row():
    """The silence timeout doubles up to 900 s while sessions end by silence without one frame."""
    subject = backoff(silence_timeout=45)
    seen = []
    for _ in range(7):
        seen.append(subject.silence_timeout)
        subject.ended("silence")
    assert seen == [45, 90, 180, 360, 720, 900, 900]


@pytest.mark.parametrize("cause", ["handshake", "approval"])
def test_failed_attempts_do_not_break_the_row(cause):
    """An attempt that opened no session leaves the silence timeout as it is."""
    subject = backoff()
    subject.ended("silence")
    subject.ended(cause)
    assert subject.silence_timeout == 90


def test_silence_after_life_starts_no_row():
    """A silent session that had data or a PINGPONG before does not lengthen the silence timeout."""
    subject = backoff()
    subject.ended("silence")
    subject.proved_alive()
    subject.ended("silence")
    assert subject.silence_timeout == 45


def test_longer_silence_setting_is_kept():
    """A configured silence timeout above 900 s is not cut."""
    subject = backoff(silence_timeout=1200)
    subject.ended("silence")
    assert subject.silence_timeout == 1200


def test_refused_for_good_waits_longest():
    """An app key refused for good is tried again at the slowest pace."""
    assert backoff(reconnect_max=60).ended("refused") == 60
