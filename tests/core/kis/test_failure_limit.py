"""Failures within an hour are bounded, and the slot goes on soon after KIS is well."""

import pytest

from connector.core.bonds.isin import with_check_digit
from connector.core.kis.failure_limit import FIRST_FAILURES_AN_HOUR, REPEATED_FAILURES_AN_HOUR, FailureLimit
from connector.core.kis.pace import Pace
from connector.core.kis.reply import TR_ID, Reply
from connector.core.kis.session_registrations import SessionRegistrations

AT_ANY_PACE = REPEATED_FAILURES_AN_HOUR // 2
BONDS = [with_check_digit(f"KR10350{number:04d}") for number in range(300)]
GOOD = ("0", "OPSP0000")


def test_a_few_failures_hold_nothing_up():
    """Below half of the limit, the next request is permitted at once."""
    limit = FailureLimit(REPEATED_FAILURES_AN_HOUR)
    for second in range(AT_ANY_PACE - 1):
        limit.count(second)
        assert not limit.is_reached(second)
        assert limit.passed_at(second) == float("-inf")


def test_then_failures_come_with_pauses():
    """At half of the limit, the next request is permitted half a minute after the last failure."""
    limit = FailureLimit(REPEATED_FAILURES_AN_HOUR)
    for second in range(AT_ANY_PACE):
        limit.count(second)
    assert limit.is_reached(200.0)
    assert limit.passed_at(200.0) == AT_ANY_PACE - 1 + 30.0
    assert limit.is_reached(3599.9)
    assert not limit.is_reached(3600.0)
    assert limit.passed_at(3600.0) == float("-inf")


def asked(kis, wanted, until, reset_every=None):
    """Return each request that failed as time and bond, and the registrations at the end.

    `kis(isin, now)` gives rt_cd and code, or None for no reply. `wanted` are lists by their times.
    A connection ends after `reset_every` seconds, and the next one begins at once.
    """
    session, now, wanted = SessionRegistrations(Pace(0.2, 5.0, 41, 1.0, 60.0)), 0.0, dict(wanted)
    session.begin(now)
    failed, reset_at = [], reset_every or until
    while now < until:
        if now >= reset_at:
            session.begin(now)
            reset_at = now + reset_every
        for at in [at for at in wanted if at <= now]:
            session.want(wanted.pop(at))
        session.advance(now)
        while (request := session.send_next(now)) is not None:
            _, isin = request
            if (answer := kis(isin, now)) != GOOD:
                failed.append((now, isin))
            if answer is not None:
                session.receive(Reply(TR_ID, isin, *answer, "message"), now)
        deadlines = (session.next_deadline(now), *wanted, reset_at, until)
        now = min(at for at in deadlines if at is not None and at > now)
    return failed, session


def repeated(failed):
    """Return the times of all failures but the first of each bond."""
    seen = set()
    return [now for now, isin in failed if isin in seen or seen.add(isin)]


def bound(failed):
    """Check that no hour had more repeated failures than are allowed, and those on their way."""
    times, most = repeated(failed), REPEATED_FAILURES_AN_HOUR + 41
    assert all(later - first >= 3600.0 for first, later in zip(times, times[most:], strict=False))


@pytest.mark.parametrize("answer", [None, ("1", "OPSP9993"), ("9", "OPSP0009")], ids=["none", "other", "entitled"])
@pytest.mark.parametrize("seconds", [20, 75, 120])
@pytest.mark.parametrize(("never", "reset_every"), [(0, None), (2, None), (2, 50)])
def test_a_slot_goes_on_soon_after_kis_is_well(answer, seconds, never, reset_every):
    """When requests have failed for a while, all bonds are registered once their waits are over.

    The most important bonds may never get a good answer: the others do not wait for them.
    """
    bad = BONDS[:never]
    held = {}

    def kis(isin, now):
        if now < seconds or isin in bad:
            return answer
        return held.setdefault(isin, GOOD)

    failed, _ = asked(kis, {0.0: BONDS[:41]}, seconds + 240.0, reset_every)
    assert len(held) == 41 - never
    bound(failed)


@pytest.mark.parametrize("answer", [None, ("1", "OPSP9993"), ("1", "OPSP8992")], ids=["none", "other", "refused"])
@pytest.mark.parametrize("reset_every", [None, 20, 120])
def test_an_hour_has_room_for_so_many_failures(answer, reset_every):
    """If KIS never takes a request, the failures of an hour are bounded."""
    failed, _ = asked(lambda *_: answer, {0.0: BONDS[:41] if answer is None else BONDS}, 4000.0, reset_every)
    bound(failed)


@pytest.mark.parametrize("answer", [None, ("1", "OPSP0008"), ("1", "OPSP9993"), ("1", "OPSP8992")])
@pytest.mark.parametrize("reset_every", [20, 120])
def test_bonds_that_kis_confirmed_once_are_bounded_too(answer, reset_every):
    """KIS stops taking requests for bonds that it held, and sessions end again and again."""
    failed, _ = asked(lambda _, now: GOOD if now < 19 else answer, {0.0: BONDS[:41]}, 7300.0, reset_every)
    assert len(failed) > 41
    bound(failed)


@pytest.mark.parametrize("wrong", [130, 200, 299])
def test_wrong_bonds_do_not_hold_up_good_ones(wrong):
    """Good bonds behind hundreds of wrong ones, which fill the slot at first, are held soon."""
    good = [with_check_digit(f"KR60000{number:04d}") for number in range(41)]
    _, session = asked(lambda isin, _: GOOD if isin in good else ("1", "OPSP8992"), {0.0: BONDS[:wrong] + good}, 120.0)
    assert session.active_count == 41


def test_a_bond_that_did_not_fail_waits_for_none_that_did():
    """While 40 bonds get no reply for minutes, a new bond is asked for at once."""
    good = BONDS[-1]
    lists = {0.0: BONDS[:40], 900.0: [*BONDS[:40], good]}
    failed, session = asked(lambda isin, _: GOOD if isin == good else None, lists, 902.0)
    assert len(repeated(failed)) > REPEATED_FAILURES_AN_HOUR // 2
    assert session.is_slowed(902.0)
    assert session.active_count == 1


def failing_once(first, others):
    """Return a KIS, a bond whose first request alone fails, and when it was asked for."""
    good, asked_at = BONDS[-1], []

    def kis(isin, now):
        if isin != good:
            return others(now)
        asked_at.append(now)
        return GOOD if len(asked_at) > 1 else first

    return kis, good, asked_at


@pytest.mark.parametrize("answer", [None, ("1", "OPSP9993")])
def test_a_bond_that_failed_once_does_not_wait_for_those_that_fail_always(answer):
    """A single failure of a good bond costs it a minute, however many bonds fail all the time."""
    kis, good, asked_at = failing_once(answer, lambda _: answer)
    asked(kis, {0.0: BONDS[:40], 900.0: [*BONDS[:40], good]}, 1000.0)
    assert asked_at[1] - asked_at[0] < 60


@pytest.mark.parametrize("answer", [None, ("1", "OPSP8997")])
def test_releases_that_fail_hold_up_no_bond(answer):
    """While KIS carries out no release of 20 bonds, a good bond that failed once is registered."""
    kis, good, _ = failing_once(None, lambda now: GOOD if now < 10.0 else answer)
    _, session = asked(kis, {0.0: BONDS[:20], 10.0: [], 1800.0: [good]}, 1900.0)
    assert session.active_count == 1


def test_requests_that_sessions_cut_off_are_bounded():
    """KIS answers nothing, and each session ends before a reply is overdue."""
    failed, _ = asked(lambda *_: None, {0.0: BONDS[:41]}, 5000.0, reset_every=3)
    times, most = [at for at, _ in failed], FIRST_FAILURES_AN_HOUR + REPEATED_FAILURES_AN_HOUR + 41
    assert len(times) > 500
    assert all(later - first >= 3600.0 for first, later in zip(times, times[most:], strict=False))


def test_bonds_that_never_failed_are_bounded_as_well(monkeypatch):
    """However many different wrong bonds lists name, an hour has only so many failures."""
    assert FIRST_FAILURES_AN_HOUR == 1000
    monkeypatch.setattr("connector.core.kis.session_registrations.FIRST_FAILURES_AN_HOUR", 100)
    failed, _ = asked(lambda *_: ("1", "OPSP8992"), {0.0: BONDS}, 3600.0)
    assert 95 < len(failed) - len(repeated(failed)) <= 100
    assert len(repeated(failed)) <= REPEATED_FAILURES_AN_HOUR
